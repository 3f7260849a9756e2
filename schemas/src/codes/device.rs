//! BW-03xx: devices, versions, enrollment and TLS.

use super::codes;

codes! { DEVICE:
}
