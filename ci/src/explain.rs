//! `bellwether explain`: what a code means, why it happens, what to do.

use bellwether_schemas::codes::{self, Explanation};
use clap::Args;

use crate::failure::Failure;
use crate::output::{self, Output, Paint};

const EXAMPLES: &str = "Examples:
  bellwether explain BW-0103  (what it means, why, and what to do)
  bellwether explain 103      (the same)
  bellwether explain          (all codes)";

/// Options of `explain`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExplainArgs {
    /// The code, such as BW-0103; all codes if not given
    code: Option<String>,
}

pub(crate) fn run(args: &ExplainArgs, output: Output) -> Result<(), Failure> {
    let Some(text) = &args.code else {
        all(output);
        return Ok(());
    };
    let digits = text.to_ascii_uppercase();
    let digits = digits.strip_prefix("BW-").unwrap_or(&digits);
    let known = codes::explain(&format!("BW-{digits:0>4}"))
        .ok_or_else(|| Failure::finding(codes::UNKNOWN_CODE, format!("there is no code {text}")))?;
    match output {
        Output::Json => output::json(&object(known)),
        Output::Text => output::line(format!(
            "{}: {}\n\nWhy:  {}\nMend: {}",
            Paint::stdout().bold(known.code.as_str()),
            known.title,
            known.cause,
            known.mend
        )),
    }
    Ok(())
}

fn all(output: Output) {
    match output {
        Output::Json => output::json(&codes::explanations().map(object).collect::<Vec<_>>()),
        Output::Text => {
            for known in codes::explanations() {
                output::line(format!("{}  {}", known.code, known.title));
            }
        }
    }
}

fn object(known: &Explanation) -> serde_json::Value {
    serde_json::json!({
        "code": known.code.as_str(), "title": known.title, "cause": known.cause, "mend": known.mend,
    })
}
