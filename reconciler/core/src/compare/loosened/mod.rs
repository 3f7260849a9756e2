//! What protects devices and the repository, and would protect them less: limits of Rollouts, rules of the policy.

mod policy;
mod rollout;

pub(super) use policy::loosened as policy;
pub(super) use rollout::loosened as rollout;
