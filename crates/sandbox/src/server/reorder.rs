//! Answers whose keys, and whose lists within a row, come in another order at each request: JSON promises neither order.
//! Rows keep theirs, which clients page by.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::Value;

use super::Service;
use crate::draws::{Draws, Topic};
use crate::gate::API;

/// The middleware. The seed and the number of the request decide about the order.
pub(super) async fn pass(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with(API) {
        return next.run(request).await;
    }
    let number = service.reordered.fetch_add(1, Ordering::Relaxed);
    let (head, body) = next.run(request).await.into_parts();
    // A body of ours is in memory.
    let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let Ok(answer) = serde_json::from_slice::<Value>(&bytes) else {
        return Response::from_parts(head, Body::from(bytes));
    };
    let mut reordered = Vec::with_capacity(bytes.len());
    write(&answer, 0, &mut Draws::new(service.config.seed, Topic::Reorder, number), &mut reordered);
    Response::from_parts(head, Body::from(reordered))
}

/// Writes a value that stands so many levels deep. The list at the first level holds the rows.
fn write(value: &Value, depth: usize, draws: &mut Draws, bytes: &mut Vec<u8>) {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<_> = object.iter().collect();
            shuffle(&mut entries, draws);
            list(*b"{}", &entries, bytes, |(key, value), bytes| {
                plain(&Value::from(key.as_str()), bytes);
                bytes.push(b':');
                write(value, depth + 1, draws, bytes);
            });
        }
        Value::Array(items) => {
            let mut items: Vec<_> = items.iter().collect();
            if depth > 1 {
                shuffle(&mut items, draws);
            }
            list(*b"[]", &items, bytes, |item, bytes| write(item, depth + 1, draws, bytes));
        }
        scalar => plain(scalar, bytes),
    }
}

fn list<T>(brackets: [u8; 2], items: &[T], bytes: &mut Vec<u8>, mut write: impl FnMut(&T, &mut Vec<u8>)) {
    bytes.push(brackets[0]);
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            bytes.push(b',');
        }
        write(item, bytes);
    }
    bytes.push(brackets[1]);
}

fn plain(value: &Value, bytes: &mut Vec<u8>) {
    // Text and numbers, and a vector takes every byte.
    drop(serde_json::to_writer(bytes, value));
}

fn shuffle<T>(items: &mut [T], draws: &mut Draws) {
    for last in (1..items.len()).rev() {
        let other = draws.below(last as u64 + 1);
        items.swap(last, usize::try_from(other).unwrap_or(last));
    }
}
