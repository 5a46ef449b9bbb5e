//! Failures as statuses of gRPC, with the details that clients can act on.

use std::collections::HashMap;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use tonic::{Code as GrpcCode, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::body::BodyError;
use crate::failure::{Code, Failure};
use crate::options::Limits;

/// Who gives the reasons in `ErrorInfo`.
const DOMAIN: &str = "berth";

/// The one place where kinds of failure become gRPC.
pub(crate) fn code(code: Code) -> GrpcCode {
    match code {
        Code::InvalidInput | Code::TooLarge => GrpcCode::InvalidArgument,
        Code::NotFound => GrpcCode::NotFound,
        Code::Unauthenticated => GrpcCode::Unauthenticated,
        Code::Forbidden => GrpcCode::PermissionDenied,
        Code::Refused => GrpcCode::FailedPrecondition,
        Code::Overloaded => GrpcCode::ResourceExhausted,
        Code::DeadlineExceeded => GrpcCode::DeadlineExceeded,
        Code::Unavailable => GrpcCode::Unavailable,
        Code::Corrupted => GrpcCode::DataLoss,
        Code::Unimplemented => GrpcCode::Unimplemented,
        Code::Internal => GrpcCode::Internal,
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let mut details = ErrorDetails::new();
        let limit = failure.limit.map(|limit| ("limit".to_owned(), limit.to_owned()));
        details.set_error_info(failure.code.as_str(), DOMAIN, limit.into_iter().collect::<HashMap<_, _>>());
        if let Some(field) = failure.field {
            details.add_bad_request_violation(field, &failure.message);
        }
        if let Some(wait) = failure.retry_after {
            details.set_retry_info(Some(wait));
        }
        Self::with_error_details(code(failure.code), failure.message, details)
    }
}

/// What is wrong with a message that could not be read, which gRPC's own layer says in words of its own.
pub(crate) fn understood(status: Status, limits: &Limits) -> Status {
    let error: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(&status);
    if let Some(error) = error.and_then(BodyError::of) {
        return of_body(*error).into();
    }
    match unreadable(status.code(), status.message(), limits) {
        Some(failure) => failure.into(),
        None => status,
    }
}

/// The same of an answer that is made already.
pub(crate) fn of_transport(headers: &HeaderMap, limits: &Limits) -> Option<Failure> {
    let status = Status::from_header_map(headers)?;
    unreadable(status.code(), status.message(), limits)
}

/// Why a service refused, if it did.
pub(crate) fn code_of(response: &Response) -> Option<Code> {
    let status = response.extensions().get::<Status>().filter(|status| status.code() != GrpcCode::Ok)?;
    let reason = status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default();
    Some(Code::ALL.into_iter().find(|code| code.as_str() == reason).unwrap_or(Code::Internal))
}

fn of_body(error: BodyError) -> Failure {
    match error {
        BodyError::NoRoom => Failure::overloaded("body-room", error.to_string(), Duration::from_secs(1)),
        BodyError::Timeout(_, limit) => {
            Failure { limit: Some(limit), ..Failure::new(Code::DeadlineExceeded, error.to_string()) }
        }
    }
}

fn unreadable(code: GrpcCode, message: &str, limits: &Limits) -> Option<Failure> {
    if code == GrpcCode::OutOfRange && message.contains("message length too large") {
        let most = limits.message_bytes;
        let message = format!("the message is larger than the limit max-message-bytes of {most}; send it in parts");
        return Some(Failure::limit("max-message-bytes", "message", message));
    }
    if message.contains(&BodyError::NoRoom.to_string()) {
        return Some(of_body(BodyError::NoRoom));
    }
    for limit in ["body-timeout", "idle-timeout", "request-timeout"] {
        if message.contains(BodyError::STALLED) && message.contains(limit) {
            return Some(Failure { limit: Some(limit), ..Failure::new(Code::DeadlineExceeded, message) });
        }
    }
    let is_garbled = code == GrpcCode::Internal && message.contains("decode Protobuf message");
    is_garbled
        .then(|| Failure::invalid("message", "the message is no message of this method; its strings have to be UTF-8"))
}

/// The answer to a request that did not come as far as its service.
pub(crate) fn refused(failure: &Failure) -> Response {
    let mut response = Status::from(failure.clone()).into_http::<axum::body::Body>().into_response();
    response.extensions_mut().insert(failure.clone());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_what_they_can_act_on() {
        let failure =
            Failure { field: Some("k"), ..Failure::overloaded("max-wait", "full", Duration::from_millis(300)) };
        let status = Status::from(failure);
        assert_eq!((status.code(), status.message()), (GrpcCode::ResourceExhausted, "full"));
        let details = status.get_error_details();
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_millis(300)));
        assert_eq!(details.error_info().unwrap().reason, "overloaded");
        assert_eq!(details.error_info().unwrap().metadata["limit"], "max-wait");
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "k");
    }
}
