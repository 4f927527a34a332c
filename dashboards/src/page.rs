use axum::Router;

use crate::Shared;

pub(crate) fn router() -> Router<Shared> {
    Router::new()
}
