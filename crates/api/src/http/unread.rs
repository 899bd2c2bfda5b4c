//! Chunked bodies that nobody reads to their end.
//!
//! When the reader of a chunked body is gone, actix waits for the rest of it, for ever and without a timer, so that the connection can
//! be used again: a client that sends a byte now and then would keep it. While the reader is there it closes the connection after the
//! response instead. So the reader is kept until the response is sent, whoever lets go of it before.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::header::TRANSFER_ENCODING;
use bytes::Bytes;
use futures_util::Stream;

/// Where a body goes when its reader lets go of it.
#[derive(Clone, Default)]
pub struct Unread(Rc<RefCell<Option<Payload>>>);

impl Unread {
    /// Watches over the body of a request, if it is a chunked one.
    pub fn watch(request: &mut ServiceRequest) -> Option<Self> {
        if !request.headers().contains_key(TRANSFER_ENCODING) {
            return None;
        }
        let unread = Self::default();
        let body = Returning { body: Some(request.parts_mut().1.take()), to: unread.clone() };
        request.set_payload(Payload::Stream { payload: Box::pin(body) });
        Some(unread)
    }

    /// Keeps what was not read until `response` is sent.
    pub fn keep(self, response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
        response.map_body(|_, body| BoxBody::new(Keeping { body, _unread: self }))
    }
}

/// A body that is given back when it is dropped.
struct Returning {
    body: Option<Payload>,
    to: Unread,
}

impl Stream for Returning {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.body.as_mut() {
            Some(body) => Pin::new(body).poll_next(context),
            None => Poll::Ready(None),
        }
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        *self.to.0.borrow_mut() = self.body.take();
    }
}

/// A response's body with the request's.
struct Keeping {
    body: BoxBody,
    _unread: Unread,
}

impl MessageBody for Keeping {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_next(context)
    }
}
