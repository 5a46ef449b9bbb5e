//! `DocumentService`.

use std::pin::Pin;
use std::sync::Arc;

use berth_pipeline::{GivenOutcome, StoredDocument};
use berth_types::Document;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::proto::document_service_server::DocumentService;
use super::proto::get_response::{Chunk, Stored};
use super::proto::index_response::Rejected;
use super::search::{map, structure};
use super::status::understood;
use super::{Service, context, proto};
use crate::access::keys::Scope;
use crate::engine::documents::Putting;
use crate::engine::writing::{Written, counted};
use crate::engine::{Context, Engine};
use crate::failure::{Failure, without_paths};

/// Messages of a stream that are on their way to the disk at once: while one group is committed the next one fills.
const MESSAGES_AHEAD: usize = 16;

#[tonic::async_trait]
impl DocumentService for Service {
    type IndexStream = Pin<Box<dyn Stream<Item = Result<proto::IndexResponse, Status>> + Send>>;

    async fn index(
        &self,
        request: Request<Streaming<proto::IndexRequest>>,
    ) -> Result<Response<Self::IndexStream>, Status> {
        let context = context(&request)?;
        context.caller.may(Scope::Write)?;
        let (on_their_way, arriving) = mpsc::channel(MESSAGES_AHEAD);
        let (sender, answers) = mpsc::channel(MESSAGES_AHEAD);
        let requests = request.into_inner();
        tokio::spawn(take(Arc::clone(&self.0), context, requests, on_their_way));
        tokio::spawn(acknowledge(Arc::clone(&self.0), arriving, sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn delete(&self, request: Request<proto::DeleteRequest>) -> Result<Response<proto::DeleteResponse>, Status> {
        let context = context(&request)?;
        let proto::DeleteRequest { collection, ids } = request.into_inner();
        let Written { deleted, generation, .. } = self.0.delete(&context, &collection, ids).await?;
        Ok(Response::new(proto::DeleteResponse { deleted, generation }))
    }

    async fn get(&self, request: Request<proto::GetRequest>) -> Result<Response<proto::GetResponse>, Status> {
        let context = context(&request)?;
        let proto::GetRequest { collection, ids, principals, as_owner } = request.into_inner();
        let found = self.0.documents(&context, &collection, ids, (&principals, as_owner)).await?;
        Ok(Response::new(proto::GetResponse { documents: found.into_iter().map(stored).collect() }))
    }
}

type Answers = mpsc::Sender<Result<proto::IndexResponse, Status>>;

/// Hands the documents of a stream in, in their order.
async fn take(
    engine: Arc<Engine>,
    context: Context,
    mut requests: Streaming<proto::IndexRequest>,
    on_their_way: mpsc::Sender<Result<Putting, Status>>,
) {
    let mut target = None;
    loop {
        let message = tokio::select! {
            message = requests.message() => message,
            // Whoever went away hears no acknowledgement, so that nothing more of theirs is begun.
            () = on_their_way.closed() => return,
        };
        let message = match message {
            Ok(Some(message)) => message,
            Ok(None) => return,
            Err(status) => {
                let _ = on_their_way.send(Err(understood(status, &engine.limits.get()))).await;
                return;
            }
        };
        let handed_in = async {
            let proto::IndexRequest { collection, documents, access } = message;
            if target.is_none() {
                target = Some((engine.collection(&context, &collection, Scope::Write)?, access));
            }
            let Some((collection, access)) = &target else { return Err(Failure::lost()) };
            let context = context.renewed(engine.limits.get().request_timeout)?;
            let documents = documents.into_iter().map(document).collect();
            engine.put(&context, collection, documents, access.clone()).await
        };
        // A failure has its turn behind what was handed in before it.
        let handed_in = handed_in.await.map_err(Status::from);
        let is_last = handed_in.is_err();
        if let Err(unsent) = on_their_way.send(handed_in).await {
            // It is on its way to the disk, and is noted though nobody hears of it.
            if let Ok(putting) = unsent.0 {
                let _ = engine.written(putting).await;
            }
            return;
        }
        if is_last {
            return;
        }
    }
}

/// Says what is durable, as it becomes so.
async fn acknowledge(engine: Arc<Engine>, mut arriving: mpsc::Receiver<Result<Putting, Status>>, answers: Answers) {
    let mut sum = proto::IndexResponse::default();
    while let Some(handed_in) = arriving.recv().await {
        let written = match handed_in {
            Ok(putting) => engine.written(putting).await.map_err(Status::from),
            Err(status) => Err(status),
        };
        let answer = match written {
            Ok(written) => {
                let counts = counted(&written.outcomes);
                sum.durable_documents += counts["added"] + counts["changed"] + counts["unchanged"];
                sum.added += counts["added"];
                sum.changed += counts["changed"];
                sum.unchanged += counts["unchanged"];
                sum.generation = written.generation;
                let rejected = |(id, outcome): (String, GivenOutcome)| match outcome {
                    GivenOutcome::Rejected(reason) => Some(Rejected { id, reason: without_paths(&reason) }),
                    _ => None,
                };
                let rejected = written.outcomes.into_iter().filter_map(rejected).collect();
                let warning = |(id, reason)| Rejected { id, reason };
                let warnings = written.warnings.into_iter().map(warning).collect();
                Ok(proto::IndexResponse { rejected, warnings, ..sum.clone() })
            }
            Err(status) => Err(status),
        };
        let is_last = answer.is_err();
        // What is on its way is still noted when nobody listens any more.
        if answers.send(answer).await.is_err() || is_last {
            arriving.close();
        }
    }
}

fn document(document: proto::Document) -> Document {
    let proto::Document { id, title, text, metadata } = document;
    Document { id, title, text, metadata: metadata.map(map).unwrap_or_default(), source: None }
}

fn stored(found: StoredDocument) -> Stored {
    let StoredDocument { document: Document { id, title, text, metadata, source }, chunks, .. } = found;
    let metadata = Some(structure(metadata));
    let chunk = |chunk: berth_types::Chunk| Chunk {
        ordinal: chunk.ordinal,
        bytes: Some(proto::ByteRange { start: chunk.byte_range.start as u64, end: chunk.byte_range.end as u64 }),
        tokens: chunk.tokens,
    };
    Stored {
        document: Some(proto::Document { id, title, text, metadata }),
        source,
        chunks: chunks.into_iter().map(chunk).collect(),
    }
}
