//! Failures as HTTP answers, in the shape that each family of clients reads.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::body::BodyError;
use crate::engine::{Context, blocking};
use crate::failure::{Code, Failure};
use crate::options::Limits;

/// Bytes of JSON from which on it takes long to read.
const LONG_BYTES: usize = 64 << 10;
/// When there may be room for large bodies again.
const ROOM_AGAIN: Duration = Duration::from_secs(1);

/// What an error looks like, but for the families that have shapes of their own.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorDetail {
    /// invalid_input, too_large, not_found, unauthenticated, forbidden, refused, overloaded, deadline_exceeded, unavailable,
    /// corrupted, unimplemented or internal.
    code: &'static str,
    /// What is wrong and what to do.
    message: String,
    /// The limit that was met, by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'static str>,
    /// The field of the request that is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
}

/// Whose shape an error has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Berth,
    OpenAi,
    Tei,
    Cohere,
}

impl Family {
    /// By the path that was asked for.
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/v1/embeddings" | "/embeddings" => Self::OpenAi,
            "/v1/rerank" | "/v2/rerank" => Self::Cohere,
            "/" | "/invocations" | "/ping" | "/embed" | "/embed_all" | "/embed_sparse" | "/rerank" | "/predict"
            | "/similarity" | "/tokenize" | "/decode" | "/info" | "/health" => Self::Tei,
            path if path.starts_with("/v1/models") => Self::OpenAi,
            _ => Self::Berth,
        }
    }

    fn body(self, failure: &Failure) -> Value {
        let Failure { code, message, limit, field, .. } = failure;
        match self {
            Self::Berth => {
                let error = ErrorDetail { code: code.as_str(), message: message.clone(), limit: *limit, field: *field };
                json!(ErrorBody { error })
            }
            Self::OpenAi => {
                let kind = match code {
                    Code::Overloaded => "rate_limit_exceeded",
                    Code::Unauthenticated => "authentication_error",
                    Code::Forbidden => "permission_error",
                    Code::Internal | Code::Corrupted | Code::Unavailable => "server_error",
                    _ => "invalid_request_error",
                };
                json!({"error": {"message": message, "type": kind, "param": field, "code": code.as_str()}})
            }
            Self::Tei => {
                let kind = match code {
                    Code::Overloaded => "overloaded",
                    Code::Internal | Code::Corrupted => "backend",
                    Code::Unavailable => "unhealthy",
                    _ => "validation",
                };
                json!({"error": message, "error_type": kind})
            }
            Self::Cohere => json!({"message": message}),
        }
    }
}

/// The one place where kinds of failure become HTTP.
pub(crate) fn status(failure: &Failure) -> StatusCode {
    match failure.code {
        Code::InvalidInput => StatusCode::BAD_REQUEST,
        Code::TooLarge if matches!(failure.limit, Some("max-message-bytes" | "max-inputs" | "max-tokens")) => {
            StatusCode::PAYLOAD_TOO_LARGE
        }
        Code::TooLarge if failure.limit == Some("max-header-bytes") => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Code::TooLarge => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::Refused => StatusCode::CONFLICT,
        Code::Overloaded => StatusCode::TOO_MANY_REQUESTS,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Corrupted | Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The failure as an answer to a client of this family.
pub(crate) fn answer(failure: &Failure, family: Family) -> Response {
    let mut response = (status(failure), Json(family.body(failure))).into_response();
    let headers = response.headers_mut();
    if let Some(wait) = failure.retry_after {
        // The header has whole seconds.
        headers.insert(RETRY_AFTER, HeaderValue::from((wait.as_secs_f64().ceil() as u64).max(1)));
    }
    if failure.code == Code::Unauthenticated {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response.extensions_mut().insert(failure.clone());
    response
}

impl IntoResponse for Failure {
    /// In Berth's own shape; the guard gives it that of the family.
    fn into_response(self) -> Response {
        answer(&self, Family::Berth)
    }
}

/// A body of JSON within the limits.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned + Send + 'static, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        // Nothing else: a page of somebody else's may send other kinds without asking the browser.
        if !is_kind(kind, "application/json") {
            let message = "the body has to be JSON: send it with the header content-type: application/json";
            return Err(Failure::invalid("content-type", message));
        }
        let bytes = bytes(request).await?;
        // What takes long to read is read where it keeps nobody from being answered.
        if bytes.len() > LONG_BYTES {
            return blocking(move || Self::of(&bytes)).await.map(Self);
        }
        Self::of(&bytes).map(Self)
    }
}

impl<T: DeserializeOwned> Body<T> {
    /// Reads JSON, and says where it is wrong.
    pub(crate) fn of(bytes: &[u8]) -> Result<T, Failure> {
        let wrong = |error: serde_json::Error| {
            Failure::new(Code::InvalidInput, format!("the body is not as expected: {error}"))
        };
        serde_json::from_slice(bytes).map_err(wrong)
    }
}

/// The answer that `make` makes, written as JSON where that keeps nobody from being answered.
pub(crate) async fn written<T: Serialize>(
    make: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<Response, Failure> {
    blocking(move || Ok(Json(make()?).into_response())).await
}

/// Whether a header says this kind of body, whatever parameters it adds.
pub(crate) fn is_kind(header: &str, kind: &str) -> bool {
    header.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case(kind))
}

/// The whole body, if it is not too large.
pub(crate) async fn bytes(request: Request) -> Result<Bytes, Failure> {
    let limits = request.extensions().get::<Arc<Limits>>().cloned().unwrap_or_default();
    let most = limits.message_bytes;
    let too_large = || {
        let message = format!("the body is larger than the limit max-message-bytes of {most}; send it in parts");
        Failure::limit("max-message-bytes", "body", message)
    };
    // Who says that it will be too large need not send it.
    if request.body().size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let deadline = request.extensions().get::<Context>().map(|context| context.deadline);
    let collecting = Limited::new(request.into_body(), most).collect();
    let collected = match deadline {
        Some(deadline) => {
            tokio::time::timeout_at(deadline.into(), collecting).await.map_err(|_| Failure::deadline())?
        }
        None => collecting.await,
    };
    match collected {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => Err(too_large()),
        Err(error) => Err(match BodyError::of(error.as_ref()) {
            Some(error @ BodyError::NoRoom) => Failure::overloaded("body-room", error.to_string(), ROOM_AGAIN),
            Some(error) => {
                Failure { limit: Some("body-timeout"), ..Failure::new(Code::InvalidInput, error.to_string()) }
            }
            None => Failure::new(Code::InvalidInput, format!("the body could not be read: {error}")),
        }),
    }
}

/// What stands behind the question mark of an address.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(Failure::new(Code::InvalidInput, rejection.body_text())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_reads_its_own_shape() {
        let failure = Failure::overloaded("max-queue", "full", Duration::from_millis(1200));
        let body = |family: Family| family.body(&failure);
        assert_eq!(
            body(Family::Berth),
            json!({"error": {"code": "overloaded", "message": "full", "limit": "max-queue"}})
        );
        assert_eq!(body(Family::OpenAi)["error"]["type"], "rate_limit_exceeded");
        assert_eq!(body(Family::Tei), json!({"error": "full", "error_type": "overloaded"}));
        assert_eq!(body(Family::Cohere), json!({"message": "full"}));
        let response = answer(&failure, Family::Tei);
        assert_eq!(
            (response.status(), &response.headers()["retry-after"]),
            (StatusCode::TOO_MANY_REQUESTS, &HeaderValue::from(2))
        );
    }

    #[test]
    fn paths_tell_the_family() {
        for (path, family) in
            [("/v1/embeddings", Family::OpenAi), ("/v1/models/x", Family::OpenAi), ("/embed", Family::Tei)]
        {
            assert_eq!(Family::of(path), family);
        }
        assert_eq!((Family::of("/search"), Family::of("/v1/rerank")), (Family::Berth, Family::Cohere));
    }
}
