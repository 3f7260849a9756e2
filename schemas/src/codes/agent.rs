//! BW-06xx: the agent.

use super::codes;

codes! { AGENT:
}
