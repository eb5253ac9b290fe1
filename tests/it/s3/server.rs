//! An S3 server in this process, on a free port of 127.0.0.1, that checks signatures and does wrong what a test asks it to.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use lambda_runtime::tower::service_fn;
use s3s::auth::SimpleAuth;
use s3s::dto::StreamingBlob;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpError, HttpRequest, HttpResponse};

use super::memory::Memory;

/// Who may ask.
pub(crate) const KEY: &str = "testkey";
/// Their secret.
pub(crate) const SECRET_KEY: &str = "testsecret";

/// Bytes of one body at most.
const BODY_MAX: usize = 1 << 30;

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wrong {
    /// It is not done, and the reply has this status and code.
    Refused(u16, &'static str),
    /// It is done, and the connection ends without a reply.
    ReplyLost,
    /// It is done, and its reply says that the server failed: a client repeats it.
    DoneButFailed,
    /// It is done, and the reply breaks off in the middle.
    ReplyCut,
    /// The reply comes late.
    Late(Duration),
}

struct Fault {
    method: &'static str,
    part: String,
    skip: u32,
    times: u32,
    wrong: Wrong,
}

/// The server's log, and what shall go wrong.
#[derive(Default)]
struct Book {
    faults: Vec<Fault>,
    asked: Vec<String>,
    happened: u32,
}

/// The server. It runs until the process ends.
pub(crate) struct Server {
    port: u16,
    book: Arc<Mutex<Book>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let book = Arc::new(Mutex::new(Book::default()));
        let shared = Arc::clone(&book);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(listener, &shared));
        });
        Self { port, book }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Of the requests of a method whose address has this part, some are answered rightly, then so many wrongly.
    pub(crate) fn fail(&self, method: &'static str, part: impl Into<String>, (skip, times): (u32, u32), wrong: Wrong) {
        self.book.lock().unwrap().faults.push(Fault { method, part: part.into(), skip, times, wrong });
    }

    /// From now on everything is answered rightly. How often something went wrong.
    pub(crate) fn behave(&self) -> u32 {
        let mut book = self.book.lock().unwrap();
        book.faults.clear();
        std::mem::take(&mut book.happened)
    }

    /// What was asked since this was called last: method and address.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.book.lock().unwrap().asked)
    }

    /// Waits until something went wrong.
    pub(crate) fn wait(&self) {
        let began = Instant::now();
        while self.book.lock().unwrap().happened == 0 {
            assert!(began.elapsed() < Duration::from_secs(60), "nothing went wrong");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

async fn serve(listener: TcpListener, book: &Arc<Mutex<Book>>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let mut builder = S3ServiceBuilder::new(Memory::default());
    builder.set_auth(SimpleAuth::from_single(KEY, SECRET_KEY));
    let s3 = builder.build();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let (book, s3) = (Arc::clone(book), s3.clone());
        let service = service_fn(move |request| answer(Arc::clone(&book), s3.clone(), request));
        tokio::spawn(async move {
            let connections = Builder::new(TokioExecutor::new());
            // A client that went away is no news.
            let _ = connections.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).await;
        });
    }
}

async fn answer<B>(book: Arc<Mutex<Book>>, s3: S3Service, request: HttpRequest<B>) -> Result<HttpResponse, HttpError>
where
    Body: From<B>,
{
    let asked = format!("{} {}", request.method(), request.uri());
    let mut request = request.map(Body::from);
    let wrong = book.lock().unwrap().wrong(asked);
    match wrong {
        None => s3.call(request).await,
        Some(Wrong::Refused(status, code)) => {
            let _ = request.body_mut().store_all_limited(BODY_MAX).await;
            Ok(refusal(status, code))
        }
        Some(Wrong::ReplyLost) => {
            s3.call(request).await?;
            Err(HttpError::new("the reply is lost".into()))
        }
        Some(Wrong::DoneButFailed) => {
            s3.call(request).await?;
            Ok(refusal(500, "InternalError"))
        }
        Some(Wrong::ReplyCut) => Ok(cut(s3.call(request).await?).await),
        Some(Wrong::Late(time)) => {
            tokio::time::sleep(time).await;
            s3.call(request).await
        }
    }
}

impl Book {
    /// Notes a request and finds what shall go wrong with it.
    fn wrong(&mut self, asked: String) -> Option<Wrong> {
        let (method, address) = asked.split_once(' ').unwrap_or_default();
        let mut wrong = None;
        for fault in &mut self.faults {
            if fault.times == 0 || fault.method != method || !address.contains(&fault.part) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            fault.times -= 1;
            wrong = Some(fault.wrong);
            break;
        }
        self.happened += u32::from(wrong.is_some());
        self.asked.push(asked);
        wrong
    }
}

fn refusal(status: u16, code: &str) -> HttpResponse {
    let text =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>As the test asked.</Message></Error>");
    let mut response = HttpResponse::new(Body::from(text));
    *response.status_mut() = status.try_into().unwrap();
    response
}

/// The first half of a reply under the length of the whole.
async fn cut(response: HttpResponse) -> HttpResponse {
    let (mut parts, mut body) = response.into_parts();
    let bytes = body.store_all_limited(BODY_MAX).await.unwrap();
    parts.headers.insert("content-length", bytes.len().into());
    let half: Bytes = bytes.slice(..bytes.len() / 2);
    let broken = futures::stream::iter([Ok(half), Err(std::io::Error::other("the reply is cut"))]);
    HttpResponse::from_parts(parts, Body::from(StreamingBlob::wrap(broken)))
}
