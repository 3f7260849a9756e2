//! What a listener answers when it cannot do what was asked: the only place that knows HTTP and gRPC status codes.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use bellwether_schemas::codes::{self, Code};
use bellwether_schemas::enroll::ErrorBody;
use http::StatusCode;

/// Kinds of failure, as the caller can act on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// It was taken, and waits for somebody: ask again.
    Pending,
    /// The request cannot be read.
    Malformed,
    /// The request is too large.
    TooLarge,
    /// The caller is not known.
    Unknown,
    /// The caller may not.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// The request is for another host.
    Misdirected,
    /// The method is not served.
    Method,
    /// It was done already, by somebody else.
    Taken,
    /// Another took over.
    Replaced,
    /// Too much at once.
    TooMany,
    /// Later, perhaps.
    Unavailable,
    /// The fault is here.
    Internal,
}

/// A failure with its code, for people on both sides.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub(crate) struct Problem {
    pub(crate) class: Class,
    pub(crate) code: Code,
    pub(crate) message: String,
    /// How long to wait before asking again, where the caller shall.
    pub(crate) wait: Option<Duration>,
}

impl Problem {
    pub(crate) fn new(class: Class, code: Code, message: impl Into<String>) -> Self {
        Self { class, code, message: message.into(), wait: None }
    }

    /// The same, to be asked again after a while.
    pub(crate) fn after(self, wait: Duration) -> Self {
        Self { wait: Some(wait), ..self }
    }

    pub(crate) fn busy(message: impl Into<String>) -> Self {
        Self::new(Class::Unavailable, codes::RECONCILER_BUSY, message)
    }

    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::new(Class::NotFound, codes::NOT_FOUND, what)
    }

    fn hint(&self) -> &'static str {
        codes::explain(self.code.as_str()).map_or("", |explanation| explanation.mend)
    }

    const fn http(&self) -> StatusCode {
        match self.class {
            Class::Pending => StatusCode::ACCEPTED,
            Class::Malformed => StatusCode::BAD_REQUEST,
            Class::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Class::Unknown => StatusCode::UNAUTHORIZED,
            Class::Forbidden => StatusCode::FORBIDDEN,
            Class::NotFound => StatusCode::NOT_FOUND,
            Class::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Class::Method => StatusCode::METHOD_NOT_ALLOWED,
            Class::Taken | Class::Replaced => StatusCode::CONFLICT,
            Class::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Class::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Class::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn grpc(&self) -> tonic::Code {
        match self.class {
            Class::Malformed => tonic::Code::InvalidArgument,
            Class::TooLarge | Class::TooMany => tonic::Code::ResourceExhausted,
            Class::Unknown => tonic::Code::Unauthenticated,
            Class::Forbidden => tonic::Code::PermissionDenied,
            Class::NotFound | Class::Misdirected => tonic::Code::NotFound,
            Class::Method => tonic::Code::Unimplemented,
            Class::Taken => tonic::Code::AlreadyExists,
            Class::Replaced => tonic::Code::Aborted,
            Class::Pending | Class::Unavailable => tonic::Code::Unavailable,
            Class::Internal => tonic::Code::Internal,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body =
            ErrorBody { code: self.code.to_string(), message: self.message.clone(), hint: self.hint().to_owned() };
        let allow = (self.class == Class::Method).then_some([(http::header::ALLOW, "GET")]);
        // In whole seconds, and never too few.
        let wait = self.wait.map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
        let wait = wait.map(|seconds| [(http::header::RETRY_AFTER, seconds.to_string())]);
        (self.http(), allow, wait, Json(body)).into_response()
    }
}

/// `BW-0333: entry t1 of enrollment lab is revoked`, with the code also in the trailer `bellwether-code`.
impl From<Problem> for tonic::Status {
    fn from(problem: Problem) -> Self {
        let mut status = Self::new(problem.grpc(), problem.to_string());
        let code = tonic::metadata::MetadataValue::from_static(problem.code.as_str());
        status.metadata_mut().insert("bellwether-code", code);
        status
    }
}
