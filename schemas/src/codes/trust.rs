//! BW-02xx: git and trust.

use super::codes;

codes! { TRUST:
}
