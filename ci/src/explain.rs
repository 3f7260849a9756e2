//! `bellwether explain`: what a code means, why it happens, what to do, and an example.

use bellwether_schemas::codes::{self, Explanation};
use clap::Args;

use crate::failure::Failure;
use crate::output::{self, Output, Paint};

const EXAMPLES: &str = "Examples:
  bellwether explain BW-0103  (what it means, why, and what to do)
  bellwether explain 103      (the same; so is bw-103)
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
    let digits = text.trim().to_ascii_uppercase();
    let digits = digits.strip_prefix("BW").unwrap_or(&digits).trim_start_matches(['-', '_', ' ']);
    let known = codes::explain(&format!("BW-{digits:0>4}")).ok_or_else(|| unknown(text, digits))?;
    match output {
        Output::Json => output::json(&object(known)),
        Output::Text => output::line(told(known, Paint::stdout())),
    }
    Ok(())
}

fn unknown(text: &str, digits: &str) -> Failure {
    let failure = Failure::finding(codes::UNKNOWN_CODE, format!("there is no code {text}"));
    let near = match digits.parse() {
        Ok(number) => codes::nearest(number).collect(),
        Err(_) => meant(text, digits),
    };
    if near.is_empty() {
        return failure;
    }
    let near: Vec<_> = near.iter().map(|near| format!("{} ({})", near.code, near.title)).collect();
    failure.hint(format!("The nearest: {}. bellwether explain shows all.", near.join(", ")))
}

/// The code whose digits stand there among other signs; else those whose titles have the words, if they are few.
fn meant(text: &str, digits: &str) -> Vec<&'static Explanation> {
    const FEW: usize = 8;
    let number: String = digits.chars().filter(char::is_ascii_digit).collect();
    if !number.is_empty() {
        return codes::explain(&format!("BW-{number:0>4}")).into_iter().collect();
    }
    let words = text.trim().to_lowercase().replace(['-', '_'], " ");
    let named: Vec<_> = codes::explanations().filter(|known| known.title.contains(&words)).collect();
    if named.len() > FEW { Vec::new() } else { named }
}

fn told(known: &Explanation, paint: Paint) -> String {
    let Explanation { code, title, cause, mend } = known;
    let mut text = format!("{}: {title}\n\nWhy:  {cause}\nMend: {mend}", paint.bold(code.as_str()));
    if let Some(example) = known.example() {
        text.push_str("\n\nExample: the mistake (-) and its mend (+)\n");
        for line in example.lines() {
            let line = match line.chars().next() {
                Some('-') => paint.red(line),
                Some('+') => paint.green(line),
                Some(' ') | None => line.to_owned(),
                Some(_) => paint.bold(line),
            };
            text.push('\n');
            text.push_str(&line);
        }
    }
    text
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
        "example": known.example(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_red_and_mends_green_on_a_terminal() {
        let text = told(codes::explain("BW-0103").expect("a code"), Paint::always());
        assert!(text.contains("\x1b[31;1m-      - paht:") && text.contains("\x1b[32m+      - path:"), "{text:?}");
        assert!(text.contains("\n\x1b[1mfleets/edge.yaml\x1b[0m\n     files:\n"), "{text:?}");
    }
}
