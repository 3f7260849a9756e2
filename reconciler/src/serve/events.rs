//! `GET /api/v1/events`: what happened, the newest first, as the database has it.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use bellwether_schemas::api::{EVENTS, EventView};
use bellwether_schemas::{DeviceName, codes};

use super::problem::{Class, Problem};
use crate::store::{EventRow, Store, StoredEvent};

pub(super) fn router(store: Store) -> Router {
    Router::new().route("/api/v1/events", get(events)).with_state(store)
}

/// Which events are asked for. A parameter that is not known is refused.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Which {
    device: Option<DeviceName>,
    limit: Option<u32>,
}

async fn events(State(store): State<Store>, which: Result<Query<Which>, QueryRejection>) -> Result<Response, Problem> {
    let (usual, most) = EVENTS;
    let malformed = |why: String| {
        let message = format!("device=NAME and limit=1 to {most} may stand here, once each: {why}");
        Problem::new(Class::Malformed, codes::API_PARAMETER, message)
    };
    let Query(Which { device, limit }) = which.map_err(|rejection| malformed(rejection.body_text()))?;
    let limit = limit.unwrap_or(usual);
    if !(1..=most).contains(&limit) {
        return Err(malformed(format!("limit is {limit}")));
    }
    let found = store.events(device.as_ref(), limit).await.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "the event log cannot be read");
        Problem::busy("the event log cannot be read now")
    })?;
    Ok(Json(found.into_iter().map(view).collect::<Vec<_>>()).into_response())
}

fn view(stored: StoredEvent) -> EventView {
    let EventRow { at, kind, device, fleet, code, message } = stored.event;
    EventView { id: stored.id, at, kind, device, fleet, code, message }
}
