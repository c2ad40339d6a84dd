//! The admin API: what the command line does, as JSON over HTTP (`[admin_api]` in `central.toml`; `docs/operations.md`, "People").
//!
//! Each path of the table [`routes`] is a [`crate::operations::Request`], carried out by the same code for everybody. Whoever asks shows a
//! token (`Authorization: Bearer`), so that neither the name under which central is reached nor a page of another site in a browser
//! makes a difference; nothing is told to other origins. A body is read, within its size and time, before a place among
//! `admin_api.requests_max` is taken: who sends slowly keeps nobody away.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod answer;
mod openapi;
mod routes;
mod sessions;
mod table;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::ConnectInfo;
use axum::extract::{FromRequestParts as _, Query, RawPathParams, Request as HttpRequest, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Uri, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, get, on};
use axum::{Json, Router};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::center::Center;
use crate::clock;
use crate::enrolment::Queue;
use crate::error::CentralError;
use crate::operations;
use crate::sync_api::{IncomingBody, Peer, body_error};
use crate::writer::WriteError;
use answer::Refused;
use routes::Route;
use sessions::{Sessions, SignIn};
use table::ROUTES;

/// What every path begins with.
pub const ROOT: &str = "/admin/v0";
/// Largest body of a request, in bytes: a site with a thousand stores.
pub const BODY_BYTES_MAX: usize = 128 * 1024;
/// Connections at once; one more waits in the system's own queue.
pub const CONNECTIONS_MAX: usize = 64;
/// Passwords that are checked or wait for that; one more is told to come again. They are checked one by one.
pub const SIGN_INS_MAX: usize = 4;

/// What the handlers share.
pub struct AdminApi {
    center: Arc<Center>,
    sessions: Sessions,
    requests: Semaphore,
    sign_ins: Semaphore,
    delayed: Arc<Queue>,
}

impl AdminApi {
    /// For a center.
    ///
    /// # Errors
    /// Those of hashing a password, which the sign-in of unknown names needs.
    pub fn new(center: &Arc<Center>) -> Result<Self, CentralError> {
        Ok(Self {
            sessions: Sessions::new(center)?,
            requests: Semaphore::new(center.settings().admin_api.requests_max),
            sign_ins: Semaphore::new(SIGN_INS_MAX),
            delayed: Arc::new(Queue::of_delayed_answers()),
            center: Arc::clone(center),
        })
    }

    /// Routes to it.
    pub fn router(self) -> Router {
        let mut router = Router::new();
        for route in ROUTES {
            let handle = move |State(api): State<Arc<Self>>, request: HttpRequest| async move {
                api.answer(route, request).await.unwrap_or_else(Refused::into_response)
            };
            router = router.route(&format!("{ROOT}{}", route.path), on(filter(&route.method), handle));
        }
        router
            .route(&format!("{ROOT}/sessions"), get(who).post(sign_in).delete(sign_out))
            .route(&format!("{ROOT}/openapi.json"), get(|| async { Json(openapi::document()) }))
            .fallback(|uri: Uri| async move { Refused::no_such_path(uri.path()) })
            .method_not_allowed_fallback(|method: Method| async move { Refused::no_such_method(method.as_str()) })
            .layer(map_response(guarded))
            .with_state(Arc::new(self))
    }

    async fn answer(self: Arc<Self>, route: &'static Route, request: HttpRequest) -> Result<Response, Refused> {
        let (mut parts, body) = request.into_parts();
        let token = bearer(&parts)?;
        let path = path_fields(&mut parts).await?;
        let fields = if route.has_query() {
            let query = Query::<BTreeMap<String, String>>::try_from_uri(&parts.uri);
            route.query_fields(query.map_err(|error| Refused::malformed(&error.to_string()))?.0)?
        } else {
            object(&self.whole(&parts, body).await?)?
        };
        let requests_max = self.center.settings().admin_api.requests_max;
        let _place =
            self.requests.try_acquire().map_err(|_| Refused::overloaded("admin_api.requests_max", requests_max))?;
        let api = Arc::clone(&self);
        let done = spawn_blocking(move || {
            let actor = api.sessions.actor(&api.center, &token)?;
            let request = route.request(&path, fields)?;
            let done = operations::perform(
                &api.center,
                &actor,
                request,
                &mut std::io::empty(),
                &mut std::io::sink(),
                &mut |_| {},
            )?;
            Ok::<_, Refused>(done.value)
        });
        Ok(Json(done.await.map_err(|_| stopped())??).into_response())
    }

    /// The bytes of a body. Without a body there is nothing that says what it is.
    async fn whole(&self, parts: &Parts, body: axum::body::Body) -> Result<Vec<u8>, Refused> {
        let timeouts = &self.center.settings().timeouts;
        let mut body = IncomingBody::new(body, BODY_BYTES_MAX, timeouts.read_idle_ms);
        body.end_by(timeouts.head_ms);
        let bytes = body.whole().await.map_err(|error| {
            let (status, code) = body_error(&error);
            Refused::body(status, code, &error.to_string())
        })?;
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_json = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
        // A page of another site cannot send this without asking first, which nobody allows it.
        if !bytes.is_empty() && !is_json {
            return Err(Refused::malformed("the body must be JSON, with \"Content-Type: application/json\""));
        }
        Ok(bytes)
    }
}

async fn sign_in(State(api): State<Arc<AdminApi>>, request: HttpRequest) -> Result<Response, Refused> {
    let address = address_of(&request);
    let (parts, body) = request.into_parts();
    let bytes = api.whole(&parts, body).await?;
    let asked: SignIn = serde_json::from_slice(&bytes)
        .map_err(|error| Refused::malformed(&format!("the body must have name and password: {error}")))?;
    let place = api.sign_ins.try_acquire().map_err(|_| Refused::overloaded("sign-ins", SIGN_INS_MAX))?;
    let shared = Arc::clone(&api);
    let outcome = spawn_blocking(move || shared.sessions.sign_in(&shared.center, &asked, address));
    let outcome = outcome.await.map_err(|_| stopped())?;
    drop(place);
    match outcome {
        Ok(signed_in) => Ok(Json(signed_in).into_response()),
        Err(refused) => {
            tracing::warn!(?address, code = refused.code(), "somebody did not sign in to the admin API");
            if refused.delay_ms > 0 {
                let address = address.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
                let Some(_waiting) = api.delayed.enter(address) else {
                    return Err(Refused::too_many_attempts(
                        u32::try_from(refused.delay_ms.div_ceil(1000)).unwrap_or(u32::MAX),
                    ));
                };
                tokio::time::sleep(Duration::from_millis(refused.delay_ms)).await;
            }
            Err(refused)
        }
    }
}

/// Who asks, and what that one may do now.
async fn who(State(api): State<Arc<AdminApi>>, request: HttpRequest) -> Result<Response, Refused> {
    let (parts, _) = request.into_parts();
    let token = bearer(&parts)?;
    let found = spawn_blocking(move || {
        let actor = api.sessions.actor(&api.center, &token)?;
        let (name, now_ms) = (actor.name().to_owned(), clock::wall_ms());
        let (has_code, until_ms) = api
            .center
            .read(move |reading| {
                let unlocking = reading.unlocking(&name)?.filter(|unlocking| unlocking.counts_at(now_ms));
                Ok((reading.authorisation_code()?.is_some(), unlocking.map(|unlocking| unlocking.until_ms)))
            })
            .map_err(CentralError::from)?;
        Ok::<_, Refused>(json!({
            "actor": actor.name(),
            "role": actor.role().as_str(),
            "authorisation_code": if has_code { "set" } else { "none" },
            "unlocked_until": until_ms.map(clock::date_text),
        }))
    });
    Ok(Json(found.await.map_err(|_| stopped())??).into_response())
}

async fn sign_out(State(api): State<Arc<AdminApi>>, request: HttpRequest) -> Result<Response, Refused> {
    let (parts, _) = request.into_parts();
    let token = bearer(&parts)?;
    if !api.sessions.sign_out(&token) {
        return Err(Refused::wrong_token());
    }
    Ok(Json(json!({ "signed_out": true })).into_response())
}

/// What every answer says: it is kept nowhere, and is what it says it is.
async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The token of the header `Authorization`.
fn bearer(parts: &Parts) -> Result<String, Refused> {
    let header = parts.headers.get(header::AUTHORIZATION).and_then(|header| header.to_str().ok());
    let token =
        header.and_then(|header| header.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    token.map(|(_, token)| token.trim().to_owned()).ok_or_else(Refused::token_missing)
}

async fn path_fields(parts: &mut Parts) -> Result<BTreeMap<String, String>, Refused> {
    let params = RawPathParams::from_request_parts(parts, &()).await;
    let params = params.map_err(|error| Refused::malformed(&format!("the path cannot be read: {error}")))?;
    Ok(params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>, Refused> {
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(Refused::malformed("the body must be a JSON object")),
        Err(error) => Err(Refused::malformed(&format!("the body is not JSON: {error}"))),
    }
}

fn address_of(request: &HttpRequest) -> Option<IpAddr> {
    request.extensions().get::<ConnectInfo<Peer>>().map(|info| info.0.address.ip())
}

fn filter(method: &Method) -> MethodFilter {
    MethodFilter::try_from(method.clone()).expect("the table has methods that HTTP has")
}

fn stopped() -> Refused {
    CentralError::from(WriteError::Stopping).into()
}
