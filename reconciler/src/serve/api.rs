//! The JSON API: the views, as they are.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Router, extract::rejection::PathRejection};
use http::header::CONTENT_TYPE;

use super::page::Page;
use super::problem::Problem;

pub(super) fn routes() -> Router<Page> {
    Router::new()
        .route("/api/v1/repository", get(repository))
        .route("/api/v1/fleets", get(async |State(page): State<Page>| Json(&page.views().fleets).into_response()))
        .route("/api/v1/rollouts", get(async |State(page): State<Page>| Json(&page.views().rollouts).into_response()))
        .route("/api/v1/devices", get(devices))
        .route("/api/v1/devices/{name}", get(device))
        .route("/api/v1/commits", get(async |State(page): State<Page>| Json(&page.views().commits).into_response()))
        .route("/api/v1/requests", get(async |State(page): State<Page>| Json(page.requests()).into_response()))
        .route("/api/v1/invalid", get(async |State(page): State<Page>| Json(&page.views().invalid).into_response()))
}

async fn repository(State(page): State<Page>) -> Result<Response, Problem> {
    match &page.views().repository {
        Some(repository) => Ok(Json(repository).into_response()),
        None => Err(Problem::busy("the repository was not looked at yet")),
    }
}

async fn devices(State(page): State<Page>) -> Response {
    ([(CONTENT_TYPE, "application/json")], page.devices_json()).into_response()
}

async fn device(State(page): State<Page>, name: Result<Path<String>, PathRejection>) -> Result<Response, Problem> {
    let unknown = || Problem::not_found("no device of that name is known");
    let Path(name) = name.map_err(|_| unknown())?;
    let views = page.views();
    views
        .devices
        .iter()
        .find(|device| device.name.as_str() == name)
        .map(|d| Json(d).into_response())
        .ok_or_else(unknown)
}
