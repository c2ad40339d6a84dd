//! What a request is answered with when it is not done: `{"code", "message", "what_to_do"}` and a status.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::error::{CentralError, Exit};

/// Codes of what only some may do, or only after something else.
const FORBIDDEN: [&str; 3] = ["not_permitted", "locked", "wrong_authorisation_code"];

/// A request that is not done.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    error: CentralError,
    retry_after_s: Option<u32>,
    /// How much later it is to be told.
    pub(super) delay_ms: u64,
}

impl From<CentralError> for Refused {
    fn from(error: CentralError) -> Self {
        let status = status_of(&error);
        let retry_after_s = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        Self { status, error, retry_after_s, delay_ms: 0 }
    }
}

impl Refused {
    fn new(status: StatusCode, code: &str, message: &str, advice: &str) -> Self {
        let error = CentralError::refused(code, message, advice);
        Self { status, error, retry_after_s: None, delay_ms: 0 }
    }

    pub(super) fn token_missing() -> Self {
        let message = "the request has no header \"Authorization: Bearer ...\"";
        let advice = "Send the secret of a token, or sign in (POST /admin/v0/sessions).";
        Self::new(StatusCode::UNAUTHORIZED, "token_missing", message, advice)
    }

    pub(super) fn wrong_token() -> Self {
        let message = "the token is unknown, was revoked, or is over";
        let advice = "Sign in again (POST /admin/v0/sessions), or use another token.";
        Self::new(StatusCode::UNAUTHORIZED, "wrong_token", message, advice)
    }

    pub(super) fn wrong_credentials(delay_ms: u64) -> Self {
        let message = "the name or the password is wrong, or the account is disabled";
        let refused =
            Self::new(StatusCode::UNAUTHORIZED, "wrong_credentials", message, "Try again, or ask an administrator.");
        Self { delay_ms, ..refused }
    }

    pub(super) fn too_many_attempts(wait_s: u32) -> Self {
        let message = format!("too many wrong passwords; try again in {wait_s} s");
        let refused =
            Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", &message, "Wait, or ask an administrator.");
        Self { retry_after_s: Some(wait_s), ..refused }
    }

    pub(super) fn overloaded(setting: &str, requests_max: usize) -> Self {
        let message = format!("central has {requests_max} requests of this kind in hand ({setting})");
        let refused = Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", &message, "Come again in a moment.");
        Self { retry_after_s: Some(1), ..refused }
    }

    pub(super) fn malformed(message: &str) -> Self {
        let advice = "/admin/v0/openapi.json says what can be asked.";
        Self::new(StatusCode::BAD_REQUEST, "request_malformed", message, advice)
    }

    pub(super) fn no_such_path(path: &str) -> Self {
        let message = format!("there is nothing at {path}");
        Self::new(StatusCode::NOT_FOUND, "unknown_path", &message, "/admin/v0/openapi.json has the paths.")
    }

    pub(super) fn no_such_method(method: &str) -> Self {
        let message = format!("{method} is not for this path");
        let advice = "/admin/v0/openapi.json has the methods of each path.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "unknown_method", &message, advice)
    }

    pub(super) fn body(status: StatusCode, code: &str, message: &str) -> Self {
        Self::new(status, code, message, "Send it again.")
    }

    pub(super) fn code(&self) -> &str {
        &self.error.code
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let CentralError { code, message, advice, .. } = self.error;
        let body = json!({ "code": code, "message": message, "what_to_do": advice });
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The status of what a verb ended with.
fn status_of(error: &CentralError) -> StatusCode {
    let code = error.code.as_str();
    if FORBIDDEN.contains(&code) {
        return StatusCode::FORBIDDEN;
    }
    match error.exit {
        _ if code == "too_many_attempts" => StatusCode::TOO_MANY_REQUESTS,
        _ if code.starts_with("unknown_") || code == "set_aside_missing" => StatusCode::NOT_FOUND,
        Exit::Usage => StatusCode::BAD_REQUEST,
        Exit::Refused | Exit::Config | Exit::Partial => StatusCode::CONFLICT,
        Exit::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Exit::Ok | Exit::Failed | Exit::Disk => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_error_has_its_status() {
        for (code, exit, status) in [
            ("limit", Exit::Usage, 400),
            ("not_permitted", Exit::Refused, 403),
            ("locked", Exit::Refused, 403),
            ("unknown_site", Exit::Refused, 404),
            ("unknown_preference", Exit::Usage, 404),
            ("site_name_taken", Exit::Refused, 409),
            ("too_many_attempts", Exit::Refused, 429),
            ("disk_full", Exit::Disk, 500),
            ("stopping", Exit::Busy, 503),
        ] {
            assert_eq!(status_of(&CentralError::new(code, "", "", exit)).as_u16(), status, "{code}");
        }
    }
}
