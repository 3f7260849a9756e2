//! The target functions, which `bellwether-tests` runs over the committed corpus as well.

#[path = "../../tests/src/fuzz.rs"]
pub mod fuzz;
#[path = "../../tests/src/hostile/mod.rs"]
pub mod hostile;
