//! A server that keeps comments as GitHub and GitLab do, as far as `ci/comment` asks it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// The token that may do everything here.
pub(super) const TOKEN: &str = "secret-token-4711";

/// Whose API it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    GitHub,
    GitLab,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// The token may read only, as that of a fork.
    ReadOnly,
    /// The first comment is made, and the answer is lost.
    LostAnswer,
}

#[derive(Debug)]
struct State {
    kind: Kind,
    fault: Fault,
    /// Author and text of each comment; its id is its place, from 1 on.
    comments: Vec<(String, String)>,
}

/// The server; it ends with the test's process.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) address: String,
    state: Arc<Mutex<State>>,
}

struct Request {
    method: String,
    path: String,
    query: String,
    token: String,
    body: Vec<u8>,
}

impl Service {
    pub(super) fn start(kind: Kind, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::new(Mutex::new(State { kind, fault, comments: Vec::new() }));
        let service = Self { address, state: Arc::clone(&state) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever goes away in the middle is told nothing.
                let _gone = answer(stream, &mut state.lock().expect("not poisoned"));
            }
        });
        service
    }

    /// Somebody comments.
    pub(super) fn say(&self, author: &str, text: &str) {
        self.state.lock().expect("not poisoned").comments.push((author.to_owned(), text.to_owned()));
    }

    pub(super) fn comments(&self) -> Vec<(String, String)> {
        self.state.lock().expect("not poisoned").comments.clone()
    }
}

fn answer(mut stream: TcpStream, state: &mut State) -> std::io::Result<()> {
    let request = read(&mut stream)?;
    let (status, body) = state.handle(&request);
    let body = body.to_string();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn read(stream: &mut TcpStream) -> std::io::Result<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut request =
        Request { method, path: path.to_owned(), query: query.to_owned(), token: String::new(), body: Vec::new() };
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap_or_default(),
            "private-token" => request.token = value.to_owned(),
            "authorization" => request.token = value.trim_start_matches("Bearer ").to_owned(),
            _ => {}
        }
    }
    request.body.resize(length, 0);
    reader.read_exact(&mut request.body)?;
    Ok(request)
}

impl State {
    fn handle(&mut self, request: &Request) -> (u16, Value) {
        if request.token != TOKEN {
            return (401, json!({"message": "Bad credentials"}));
        }
        let (user, list, one, edit) = match self.kind {
            Kind::GitHub => {
                ("/user", "/repos/acme/fleet/issues/7/comments", "/repos/acme/fleet/issues/comments/", "PATCH")
            }
            Kind::GitLab => {
                ("/user", "/projects/5/merge_requests/7/notes", "/projects/5/merge_requests/7/notes/", "PUT")
            }
        };
        let text = || {
            let body: Value = serde_json::from_slice(&request.body).expect("JSON");
            body["body"].as_str().expect("a text").to_owned()
        };
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", path) if path == user => match self.kind {
                // So it answers the token of a workflow.
                Kind::GitHub => (403, json!({"message": "Resource not accessible by integration"})),
                Kind::GitLab => (200, json!({"username": self.bot()})),
            },
            ("GET", path) if path == list => (200, self.page(&request.query)),
            (_, path) if path != list && !path.starts_with(one) => (404, json!({"message": "Not Found"})),
            _ if self.fault == Fault::ReadOnly => (403, json!({"message": "Resource not accessible by integration"})),
            ("POST", _) => {
                self.comments.push((self.bot().to_owned(), text()));
                match std::mem::replace(&mut self.fault, Fault::None) {
                    Fault::LostAnswer => (502, json!({"message": "Bad Gateway"})),
                    _ => (201, json!({"id": self.comments.len()})),
                }
            }
            (method, path) if method == edit => {
                let id: usize = path[one.len()..].parse().expect("an id");
                self.comments[id - 1].1 = text();
                (200, json!({"id": id}))
            }
            _ => (405, json!({"message": "Method Not Allowed"})),
        }
    }

    const fn bot(&self) -> &'static str {
        match self.kind {
            Kind::GitHub => "github-actions[bot]",
            Kind::GitLab => "project_5_bot",
        }
    }

    fn page(&self, query: &str) -> Value {
        let of = |name: &str| {
            let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            value.map(|value| value.parse::<usize>().expect("a number"))
        };
        let (size, page) = (of("per_page").unwrap_or(20).min(100), of("page").unwrap_or(1));
        let author = match self.kind {
            Kind::GitHub => ("user", "login"),
            Kind::GitLab => ("author", "username"),
        };
        let shown = self.comments.iter().enumerate().skip(size * (page - 1)).take(size);
        shown.map(|(at, (who, text))| json!({"id": at + 1, author.0: {author.1: who}, "body": text})).collect()
    }
}
