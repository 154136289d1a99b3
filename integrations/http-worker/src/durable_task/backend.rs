//! The backend of an orchestration as a worker reaches it: a sidecar, a scheduler, an emulator.

use std::{fmt, str::FromStr, time::Duration};

use http::uri::PathAndQuery;
use prost::Message;
use tonic::{
    Request, Status, Streaming,
    client::Grpc,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use super::messages::{ActivityResponse, GetWorkItems, WorkItem};

/// How long a connection may take to be made, and a message other than the stream to be answered.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// A peer that is gone without a word is noticed by TCP. A ping of HTTP/2 so often would have gRPC's
/// servers close the connection.
const PROBED_EVERY: Duration = Duration::from_secs(20);
/// Above what an input may have, so that one that is too large is answered. Refusing to read it would
/// end the stream, and it would come again for ever.
const LARGEST_MESSAGE: usize = 64 * 1024 * 1024;

const HELLO: &str = "/TaskHubSidecarService/Hello";
const GET_WORK_ITEMS: &str = "/TaskHubSidecarService/GetWorkItems";
const COMPLETE_ACTIVITY: &str = "/TaskHubSidecarService/CompleteActivityTask";

/// Where the backend is, and which of its task hubs is meant.
#[derive(Clone)]
pub struct Backend {
    address: String,
    channel: Channel,
    hub: Option<MetadataValue<Ascii>>,
}

/// An address or a name that can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBackend {
    /// Not an address that this worker can speak to.
    #[error("the backend's address is not of the form http://host:port; TLS is for a sidecar")]
    Address,
    /// Not a task hub's name.
    #[error("a task hub's name is of letters, digits and hyphens")]
    Hub,
}

impl Backend {
    /// The backend at `http://host:port`. Nothing is sent yet.
    pub fn at(address: &str, hub: Option<&str>) -> Result<Self, InvalidBackend> {
        if !address.starts_with("http://") {
            return Err(InvalidBackend::Address);
        }
        let endpoint = Endpoint::from_str(address).map_err(|_| InvalidBackend::Address)?;
        let channel = endpoint
            .connect_timeout(ANSWERS_WITHIN)
            .tcp_keepalive(Some(PROBED_EVERY))
            .connect_lazy();
        let hub = hub.map(str::parse).transpose().map_err(|_| InvalidBackend::Hub)?;
        Ok(Self { address: address.to_owned(), channel, hub })
    }

    pub(super) async fn hello(&self) -> Result<(), Status> {
        self.ask::<(), ()>(HELLO, ()).await
    }

    /// The work as it comes. It ends when the backend does.
    pub(super) async fn work(&self, wanted: GetWorkItems) -> Result<Streaming<WorkItem>, Status> {
        let path = PathAndQuery::from_static(GET_WORK_ITEMS);
        let codec = ProstCodec::<GetWorkItems, WorkItem>::default();
        let mut grpc = self.ready().await?.max_decoding_message_size(LARGEST_MESSAGE);
        Ok(grpc.server_streaming(self.request(wanted), path, codec).await?.into_inner())
    }

    pub(super) async fn complete(&self, response: ActivityResponse) -> Result<(), Status> {
        self.ask(COMPLETE_ACTIVITY, response).await
    }

    async fn ask<Q, A>(&self, path: &'static str, message: Q) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut request = self.request(message);
        request.set_timeout(ANSWERS_WITHIN);
        let codec = ProstCodec::<Q, A>::default();
        let mut grpc = self.ready().await?;
        Ok(grpc.unary(request, PathAndQuery::from_static(path), codec).await?.into_inner())
    }

    async fn ready(&self) -> Result<Grpc<Channel>, Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        Ok(grpc)
    }

    fn request<Q>(&self, message: Q) -> Request<Q> {
        let mut request = Request::new(message);
        if let Some(hub) = &self.hub {
            request.metadata_mut().insert("taskhub", hub.clone());
        }
        request
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").field("address", &self.address).finish_non_exhaustive()
    }
}
