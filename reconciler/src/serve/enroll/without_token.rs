//! Enrollment without a token: a key that a person approved, or waits for that; and a certificate from the factory.

use bellwether_core::admission::{KeyGrant, RequestRefusal};
use bellwether_core::factory::verify_factory;
use bellwether_schemas::enroll::{EnrollResponse, FactoryProof};
use bellwether_schemas::{EnrollmentName, Sha256Digest, codes};

use super::{Asked, Class, Enroll, Problem, Spend, Use, store_failed};
use crate::serve::requests::{Ask, Full};

/// How long a device waits for which there is no room among those that wait.
const FULL: std::time::Duration = std::time::Duration::from_secs(300);

fn refused(refusal: &RequestRefusal) -> Problem {
    let class = match refusal {
        RequestRefusal::Closed { .. } | RequestRefusal::Revoked(_) | RequestRefusal::Void { .. } => Class::Forbidden,
        RequestRefusal::NoName(_) => Class::Taken,
    };
    Problem::new(class, refusal.code(), refusal.to_string())
}

/// Under which hash the certificate of an approved key is recorded: a key that is approved anew gets a new one.
fn approval_hash(grant: &KeyGrant, fingerprint: &Sha256Digest) -> Sha256Digest {
    let KeyGrant { enrollment, entry, device, .. } = grant;
    Sha256Digest::of(format!("approved key {enrollment}/{entry}/{device} {fingerprint}").as_bytes())
}

impl Enroll {
    /// A key that is listed gets its certificate, again and again the same one: who copied an old key from a device gets
    /// none that is newer than the device's own. One that is not listed waits.
    pub(super) async fn by_key(&self, enrollment: EnrollmentName, asked: Asked) -> Result<EnrollResponse, Problem> {
        self.some_history().await?;
        let fingerprint = *asked.key.fingerprint();
        let _alone = self.alone(&fingerprint).await;
        let admissions = self.admissions.borrow().clone().ok_or_else(|| self.no_history())?;
        let grant = match admissions.key(&enrollment, &fingerprint) {
            Ok(Some(grant)) => grant,
            Ok(None) => return Err(self.wait(enrollment, asked)),
            Err(refusal) => {
                self.requests.forget(&enrollment, &fingerprint);
                return Err(refused(&refusal));
            }
        };
        let token = approval_hash(&grant, &fingerprint);
        // Whether it has its certificate is not known any more: a copy of the key must not get one that is newer.
        let void = *self.void.borrow();
        let grant = match void.check_key(grant) {
            Ok(grant) => grant,
            Err(refusal) => {
                self.requests.forget(&enrollment, &fingerprint);
                return match self.spent.look_up(&token, &fingerprint).await.map_err(store_failed)? {
                    Some(Spend::Issued(certificate)) => self.response(certificate),
                    Some(Spend::Held | Spend::Spent) | None => Err(refused(&refusal)),
                };
            }
        };
        let identity = self.identity(grant.enrollment, grant.entry, grant.device);
        let used = Use { token, key: fingerprint, identity, at: asked.at };
        let answer = match self.spent.spend(&used).await.map_err(store_failed)? {
            Spend::Issued(certificate) => self.response(certificate),
            // It is the same key either way: where nothing came of an earlier try, this one goes on with it.
            Spend::Held | Spend::Spent => self.issue_once(&used, asked).await,
        };
        self.requests.forget(&enrollment, &fingerprint);
        answer
    }

    fn wait(&self, enrollment: EnrollmentName, asked: Asked) -> Problem {
        let (fingerprint, address) = (*asked.key.fingerprint(), asked.from);
        let ask = Ask { enrollment: enrollment.clone(), fingerprint, facts: asked.facts, address, at: asked.at };
        match self.requests.ask(ask) {
            Ok((is_new, wait)) => {
                if is_new {
                    tracing::info!(%fingerprint, %enrollment, from = %address, "a key waits for approval");
                }
                let message = format!("key {fingerprint} waits until a commit lists it in enrollment {enrollment}");
                Problem::new(Class::Pending, codes::ENROLL_PENDING, message).after(wait)
            }
            Err(Full) => {
                let message = "too many keys wait for approval, from this address or in all";
                Problem::new(Class::TooMany, codes::REQUESTS_FULL, message).after(FULL)
            }
        }
    }

    /// The same factory certificate always yields the same device, with whatever key it asks: that is how a device comes
    /// back that lost its key.
    pub(super) async fn by_factory(
        &self,
        enrollment: EnrollmentName,
        proof: &FactoryProof,
        asked: Asked,
    ) -> Result<EnrollResponse, Problem> {
        self.some_history().await?;
        let admissions = self.admissions.borrow().clone().ok_or_else(|| self.no_history())?;
        let ca = admissions.factory_ca(&enrollment).map_err(|refusal| refused(&refusal))?;
        let key = verify_factory(&ca, proof, &asked.csr, &enrollment, asked.at)
            .map_err(|refusal| Problem::new(Class::Forbidden, refusal.code(), refusal.to_string()))?;
        let _alone = self.alone(&key).await;
        // What the history says now: it may have changed during the wait.
        let admissions = self.admissions.borrow().clone().ok_or_else(|| self.no_history())?;
        admissions.factory_ca(&enrollment).map_err(|refusal| refused(&refusal))?;
        let grant = admissions.factory(&enrollment, &key).map_err(|refusal| refused(&refusal))?;
        let identity = self.identity(grant.enrollment, grant.entry, grant.device);
        let certificate = self.issue(&identity, &asked)?;
        self.welcome(identity, asked, certificate).await
    }
}
