//! BW-04xx: rollouts and rendering.

use super::codes;

codes! { ROLLOUT:
}
