//! ASCII armour in the one form that its writer gives it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::refusal::Fault;
use super::not_canonical;

/// How a kind of signature is armoured.
pub(super) struct Armour {
    pub(super) begin: &'static str,
    pub(super) end: &'static str,
    /// Characters in every line but the last.
    pub(super) width: usize,
}

impl Armour {
    /// The lines between the first and the last.
    pub(super) fn body<'t>(&self, text: &'t str) -> Result<&'t str, Fault> {
        text.strip_prefix(self.begin)
            .and_then(|rest| rest.strip_prefix('\n'))
            .and_then(|rest| rest.strip_suffix(self.end))
            .and_then(|rest| rest.strip_suffix('\n'))
            .ok_or_else(|| {
                not_canonical("the signature's armour does not end as it must, or has something before or after it")
            })
    }

    /// The bytes that lines of base64 stand for.
    pub(super) fn decode(&self, lines: &str) -> Result<Vec<u8>, Fault> {
        let mut base64 = String::with_capacity(lines.len());
        let mut full = true;
        for line in lines.split('\n') {
            if !full || line.is_empty() || line.len() > self.width {
                return Err(not_canonical(format!("the signature is not in lines of {} characters", self.width)));
            }
            full = line.len() == self.width;
            base64.push_str(line);
        }
        STANDARD.decode(base64).map_err(|error| not_canonical(format!("the signature is not plain base64 ({error})")))
    }
}
