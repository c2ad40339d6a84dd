//! What sites talk to: `POST /sync/v1`, `POST /enrol/v1/begin`, `POST /enrol/v1`, `POST /check/v1`, `POST /verify/v1`, `POST /news/v1`
//! and `GET /hello` (`docs/sync-protocol.md`).
//!
//! An exchange is driven by one task ([`drive`]); the reply's sections go out as they are made. Memory is bounded by
//! `limits.exchanges_max` times one section in and a few out; time is bounded by idle limits alone. Before a request's head has
//! proved who sends it, it has one of the `limits.heads_max` places for those, and `timeouts.head_ms` in all: whoever has no key
//! of a site takes no place from those that have one.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod body;
mod check;
mod drive;
mod hello;
mod listener;
mod news;
mod places;
mod question;
mod reply;
mod tls;
mod verify;

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use protocol::limits::REQUEST_BYTES_MAX;
use tokio::sync::Semaphore;

use crate::center::Center;
use crate::enrolment::{self, Enrolment};
use crate::store::PeerAddress;
pub(crate) use body::{IncomingBody, body_error};
pub(crate) use drive::JUDGE_MS_MAX;
pub use listener::{PatientListener, Peer};
use places::Places;
use reply::{Reply, Start};
pub use tls::{HANDSHAKE_MS_MAX, ServerTls};

/// How requests and replies of an exchange are called in HTTP.
pub const CONTENT_TYPE: &str = "application/x-outpost";
/// Says the code of a refusal or an error beside its body, for logs and for devices that cannot read the body.
pub const CODE_HEADER: &str = "x-outpost-code";
/// Seconds after which a site that found central full shall come again.
pub const RETRY_AFTER_OVERLOAD_S: u32 = 5;

/// What the handlers share.
pub struct SyncApi {
    center: Arc<Center>,
    heads: Arc<Semaphore>,
    exchanges: Arc<Semaphore>,
    comparisons: Semaphore,
    enrolment: Enrolment,
}

impl SyncApi {
    /// For a center.
    ///
    /// # Errors
    /// Those of hashing a password, which the enrolment of unknown names needs.
    pub fn new(center: &Arc<Center>) -> Result<Self, crate::error::CentralError> {
        Ok(Self {
            heads: Arc::new(Semaphore::new(center.settings().limits.heads_max)),
            exchanges: Arc::new(Semaphore::new(center.settings().limits.exchanges_max)),
            comparisons: Semaphore::new(verify::QUESTIONS_MAX),
            enrolment: Enrolment::new(Arc::clone(center))?,
            center: Arc::clone(center),
        })
    }

    /// Routes to it.
    pub fn router(self) -> Router {
        Router::new()
            .route("/sync/v1", post(sync))
            .route("/enrol/v1/begin", post(begin_enrolment))
            .route("/enrol/v1", post(enrol))
            .route("/check/v1", post(check))
            .route("/verify/v1", post(verify))
            .route("/news/v1", post(news))
            .route("/hello", get(hello))
            .with_state(Arc::new(self))
    }
}

async fn sync(State(api): State<Arc<SyncApi>>, request: Request) -> Response {
    let Ok(place) = Arc::clone(&api.heads).try_acquire_owned() else {
        let max = api.center.settings().limits.heads_max;
        let message = format!("central waits for the heads of {max} requests (limits.heads_max); come again");
        return error_response(StatusCode::SERVICE_UNAVAILABLE, "overloaded", &message, Some(RETRY_AFTER_OVERLOAD_S));
    };
    if let Some(bytes) = announced_bytes(request.headers()).filter(|bytes| *bytes > REQUEST_BYTES_MAX as u64) {
        let message = format!("the request announces {bytes} bytes; at most {REQUEST_BYTES_MAX} are taken");
        return error_response(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", &message, None);
    }
    let address = address_of(&request).map(PeerAddress::from);
    let (reply, start, pieces) = Reply::new(api.center.settings().timeouts.write_idle_ms);
    let body = IncomingBody::new(request.into_body(), REQUEST_BYTES_MAX, api.center.settings().timeouts.read_idle_ms);
    let places = Places::new(place, Arc::clone(&api.exchanges), &api.center);
    let center = Arc::clone(&api.center);
    answer_of(start, pieces, drive::Drive::new(center, address, places, body, reply).run()).await
}

fn overloaded(center: &Center) -> Response {
    let max = center.settings().limits.exchanges_max;
    let message = format!("central has {max} exchanges in hand (limits.exchanges_max); come again");
    error_response(StatusCode::SERVICE_UNAVAILABLE, "overloaded", &message, Some(RETRY_AFTER_OVERLOAD_S))
}

/// Lets an exchange run and gives its answer; a panic before the first byte is answered 500, one after it cuts the reply.
async fn answer_of(
    start: tokio::sync::oneshot::Receiver<Start>,
    pieces: reply::Pieces,
    exchange: impl Future<Output = ()> + Send + 'static,
) -> Response {
    tokio::spawn(exchange);
    match start.await {
        Ok(Start::Reply) => {
            ([(header::CONTENT_TYPE, CONTENT_TYPE)], axum::body::Body::from_stream(pieces)).into_response()
        }
        Ok(Start::Refusal { refusal, bytes }) => {
            let status = status_of(&refusal.code);
            let mut response = (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], bytes).into_response();
            put_code(&mut response, &refusal.code, refusal.retry_after_s);
            response
        }
        Ok(Start::Error { status, code, message, retry_after_s }) => {
            error_response(status, code, &message, retry_after_s)
        }
        Err(_) => {
            let message = "central made a mistake with this request; its log says more";
            error_response(StatusCode::INTERNAL_SERVER_ERROR, "internal", message, None)
        }
    }
}

async fn begin_enrolment(State(api): State<Arc<SyncApi>>, request: Request) -> Response {
    let address = address_of(&request);
    let bytes = match enrolment_body(&api, request).await {
        Ok(bytes) => bytes,
        Err(response) => return *response,
    };
    answer_enrolment(api.enrolment.begin(&bytes, address).await)
}

async fn enrol(State(api): State<Arc<SyncApi>>, request: Request) -> Response {
    let address = address_of(&request);
    let bytes = match enrolment_body(&api, request).await {
        Ok(bytes) => bytes,
        Err(response) => return *response,
    };
    answer_enrolment(api.enrolment.enrol(&bytes, address).await)
}

/// Where a request comes from. Beside the network there is only the test without an address.
fn address_of(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<ConnectInfo<Peer>>().map(|info| info.0.address.ip())
}

async fn enrolment_body(api: &SyncApi, request: Request) -> Result<Vec<u8>, Box<Response>> {
    let timeouts = &api.center.settings().timeouts;
    let mut body = IncomingBody::new(request.into_body(), enrolment::REQUEST_BYTES_MAX, timeouts.read_idle_ms);
    body.end_by(timeouts.head_ms);
    body.whole().await.map_err(|error| {
        let (status, code) = body_error(&error);
        Box::new(error_response(status, code, &error.to_string(), None))
    })
}

fn answer_enrolment<T: serde::Serialize>(answer: Result<T, enrolment::EnrolError>) -> Response {
    match answer {
        Ok(answer) => axum::Json(answer).into_response(),
        Err(error) => error_response(error.status(), error.code(), &error.message(), error.retry_after_s()),
    }
}

async fn check(State(api): State<Arc<SyncApi>>, request: Request) -> Response {
    let bytes = match whole_body(&api, request, check::REQUEST_BYTES_MAX).await {
        Ok(bytes) => bytes,
        Err(response) => return *response,
    };
    // Only once all of it is here: whoever sends slowly keeps nobody away.
    let Ok(_permit) = api.exchanges.try_acquire() else { return overloaded(&api.center) };
    answer_question(check::answer(Arc::clone(&api.center), bytes).await)
}

async fn verify(State(api): State<Arc<SyncApi>>, request: Request) -> Response {
    let bytes = match whole_body(&api, request, verify::REQUEST_BYTES_MAX).await {
        Ok(bytes) => bytes,
        Err(response) => return *response,
    };
    let Ok(_permit) = api.comparisons.try_acquire() else {
        let message = format!("central compares for {} other sites; come again", verify::QUESTIONS_MAX);
        return error_response(StatusCode::SERVICE_UNAVAILABLE, "overloaded", &message, Some(RETRY_AFTER_OVERLOAD_S));
    };
    answer_question(verify::answer_question(Arc::clone(&api.center), bytes).await)
}

async fn news(State(api): State<Arc<SyncApi>>, request: Request) -> Response {
    let patience = request.extensions().get::<ConnectInfo<Peer>>().map(|info| info.0.patience.clone());
    let bytes = match whole_body(&api, request, news::REQUEST_BYTES_MAX).await {
        Ok(bytes) => bytes,
        Err(response) => return *response,
    };
    let error = match news::answer(Arc::clone(&api.center), patience, bytes).await {
        Ok(answer) => return ([(header::CONTENT_TYPE, CONTENT_TYPE)], answer).into_response(),
        Err(error) => error,
    };
    let (status, code, retry_after_s) = match error {
        news::NewsError::NoQuestion(_) => (StatusCode::BAD_REQUEST, "bad_section", None),
        news::NewsError::Store => (StatusCode::INTERNAL_SERVER_ERROR, "store_failed", None),
        news::NewsError::Full(_) => (StatusCode::SERVICE_UNAVAILABLE, "overloaded", Some(news::RETRY_AFTER_FULL_S)),
        news::NewsError::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping", Some(RETRY_AFTER_OVERLOAD_S)),
    };
    error_response(status, code, &error.to_string(), retry_after_s)
}

async fn whole_body(api: &SyncApi, request: Request, bytes_max: usize) -> Result<Vec<u8>, Box<Response>> {
    let mut body = IncomingBody::new(request.into_body(), bytes_max, api.center.settings().timeouts.read_idle_ms);
    body.whole().await.map_err(|error| {
        let (status, code) = body_error(&error);
        Box::new(error_response(status, code, &error.to_string(), None))
    })
}

/// A signed answer as it is, or why there is none.
fn answer_question(answer: Result<Vec<u8>, question::QuestionError>) -> Response {
    match answer {
        Ok(answer) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], answer).into_response(),
        Err(error) => {
            let (status, code) = error.status();
            error_response(status, code, &error.to_string(), None)
        }
    }
}

async fn hello(State(api): State<Arc<SyncApi>>) -> Response {
    axum::Json(hello::Hello::of(&api.center)).into_response()
}

/// `{"code", "message"}`, with the code and the wait in headers too.
pub(crate) fn error_response(status: StatusCode, code: &str, message: &str, retry_after_s: Option<u32>) -> Response {
    let body = serde_json::json!({ "code": code, "message": message, "retry_after_s": retry_after_s });
    let mut response = (status, axum::Json(body)).into_response();
    put_code(&mut response, code, retry_after_s);
    response
}

fn put_code(response: &mut Response, code: &str, retry_after_s: Option<u32>) {
    if let Ok(code) = HeaderValue::from_str(code) {
        response.headers_mut().insert(CODE_HEADER, code);
    }
    if let Some(seconds) = retry_after_s {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
}

fn announced_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The HTTP status of a refusal.
fn status_of(code: &str) -> StatusCode {
    match code {
        "site_busy" => StatusCode::TOO_MANY_REQUESTS,
        "not_enrolled" | "unknown_site" => StatusCode::FORBIDDEN,
        "truncated" | "bad_section" | "bad_frame" | "bad_part" | "bad_message" | "version" | "too_many_scopes"
        | "number_too_large" => StatusCode::BAD_REQUEST,
        "stopping" => StatusCode::SERVICE_UNAVAILABLE,
        "store_failed" | "codec" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::CONFLICT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn a_panic_before_the_first_byte_is_answered_and_one_after_it_cuts_the_reply() {
        let (mut reply, start, pieces) = Reply::new(1000);
        let response = answer_of(start, pieces, async move {
            let _reply = &mut reply;
            panic!("a mistake");
        })
        .await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);

        let (mut reply, start, pieces) = Reply::new(1000);
        let response = answer_of(start, pieces, async move {
            reply.send(vec![1]).await.unwrap();
            panic!("a mistake");
        })
        .await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.into_body().collect().await.is_err());
    }
}
