//! BW-07xx: configuration and environment.

use super::codes;

codes! { ENVIRONMENT:
}
