//! The JSON API: the views, as they are.

use axum::Json;
use axum::Router;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bellwether_schemas::api::DeviceView;
use bellwether_schemas::codes;
use bellwether_schemas::select::DeviceSelector;
use http::header::CONTENT_TYPE;

use super::page::Page;
use super::problem::{Class, Problem};

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

/// Which devices are asked for. A parameter that is not known is refused: a filter must not be overlooked.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Which {
    label_selector: Option<String>,
    field_selector: Option<String>,
}

async fn devices(State(page): State<Page>, which: Result<Query<Which>, QueryRejection>) -> Result<Response, Problem> {
    let malformed = |message: String| Problem::new(Class::Malformed, codes::SELECTOR_INVALID, message);
    let Query(which) = which.map_err(|rejection| {
        malformed(format!("labelSelector and fieldSelector may stand here, once each: {}", rejection.body_text()))
    })?;
    let selector = DeviceSelector::read(which.label_selector.as_deref(), which.field_selector.as_deref())
        .map_err(|error| malformed(error.to_string()))?;
    if selector.is_all() {
        return Ok(([(CONTENT_TYPE, "application/json")], page.devices_json()).into_response());
    }
    let views = page.views();
    let chosen: Vec<&DeviceView> = views.devices.iter().filter(|device| selector.matches(device)).collect();
    Ok(Json(chosen).into_response())
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
