//! BW-05xx: the store and publishing.

use super::codes;

codes! { PUBLISH:
}
