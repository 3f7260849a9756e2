//! Benches: `bench <name> --output json` prints one JSON object a run, each with the limit measured in the same run.

fn main() {}
