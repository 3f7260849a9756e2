//! What may be offered now.
