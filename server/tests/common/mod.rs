//! A running `offhook serve` and a SIP peer that is nothing but bytes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test binary uses its part")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

/// Nothing takes longer on one machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// The program under test; it is killed when the test ends early.
pub(crate) struct Server {
    child: Child,
    lines: Receiver<String>,
    pub(crate) announced: Vec<String>,
    pub(crate) sip: SocketAddr,
    pub(crate) http: SocketAddr,
    folder: PathBuf,
}

impl Server {
    /// Starts it on free ports, with that configuration, and waits for `ready`.
    pub(crate) fn start(name: &str, config: &str, flags: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(format!("offhook-serve-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("offhook.toml");
        std::fs::write(&file, config).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_offhook"))
            .args(["serve", "--sip", "udp:127.0.0.1:0", "--sip", "tcp:127.0.0.1:0", "--http", "127.0.0.1:0"])
            .args(["--log", "warn", "--config"])
            .arg(&file)
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut announced = Vec::new();
        while announced.last().is_none_or(|line| line != "ready") {
            announced.push(lines.recv_timeout(LIMIT).expect("no `ready` line"));
        }
        let address = |start: &str| {
            let line = announced.iter().find_map(|line| line.strip_prefix(start)).expect(start);
            line.split(',').next().unwrap_or_default().parse().expect("an address")
        };
        let (sip, http) = (address("listening on udp:"), address("listening on http:"));
        Self { child, lines, announced, sip, http, folder }
    }

    /// Status and body of a GET.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.http).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// Waits until a gauge has that value.
    pub(crate) fn wait_for_gauge(&self, gauge: &str, value: u64) {
        let begin = Instant::now();
        loop {
            let (_, body) = self.get("/api/v1/gauges");
            let found = serde_json::from_str::<serde_json::Value>(&body).unwrap()[gauge].as_u64();
            if found == Some(value) {
                return;
            }
            assert!(begin.elapsed() < LIMIT, "{gauge} is {found:?}, not {value}");
            thread::yield_now();
        }
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let status = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        // Its standard output ends with it.
        let begin = Instant::now();
        while self.lines.recv_timeout(LIMIT).is_ok() {}
        assert!(begin.elapsed() < LIMIT, "it does not end");
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A phone made of text.
pub(crate) struct Peer {
    socket: UdpSocket,
    server: SocketAddr,
    call_id: String,
    /// To header of the dialog, with the server's tag.
    to: String,
    sequence: u32,
}

impl Peer {
    pub(crate) fn new(server: SocketAddr, call_id: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        Self { socket, server, call_id: call_id.to_owned(), to: String::new(), sequence: 1 }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// Sends a request; `user` is who is meant.
    pub(crate) fn send(&self, method: &str, user: &str, body: &str) {
        let own = self.address();
        let Self { server, call_id, sequence, .. } = self;
        let to = if self.to.is_empty() { format!("<sip:{user}@{server}>") } else { self.to.clone() };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let text = format!(
            "{method} sip:{user}@{server} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {own};branch=z9hG4bK-{call_id}-{sequence}-{method};rport\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:tester@{own}>;tag=from-{call_id}\r\n\
             To: {to}\r\n\
             Call-ID: {call_id}\r\n\
             CSeq: {sequence} {method}\r\n\
             Contact: <sip:tester@{own}>\r\n\
             {kind}Content-Length: {length}\r\n\r\n{body}",
            length = body.len()
        );
        self.socket.send_to(text.as_bytes(), server).unwrap();
    }

    /// The next response of that code or a final one; provisional ones before are passed over.
    pub(crate) fn response(&mut self, code: u16) -> String {
        let mut buffer = [0; 65_535];
        loop {
            let (length, _) = self.socket.recv_from(&mut buffer).expect("no response");
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let Some(found) = text.strip_prefix("SIP/2.0 ").and_then(|rest| rest[..3].parse::<u16>().ok())
            else {
                continue;
            };
            if found >= 200 || found == code {
                assert_eq!(found, code, "{text}");
                let to = text.lines().find(|line| line.to_ascii_lowercase().starts_with("to:")).unwrap();
                self.to = to.split_once(':').unwrap().1.trim().to_owned();
                return text;
            }
        }
    }

    pub(crate) fn invite(&self, user: &str) {
        let address = self.address();
        let body = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n",
            address.port()
        );
        self.send("INVITE", user, &body);
    }

    pub(crate) fn send_and_expect(&mut self, method: &str, user: &str, code: u16) {
        self.send(method, user, "");
        self.response(code);
    }

    /// Waits for a BYE and answers it. Returns the RTP payload that came before.
    pub(crate) fn answer_bye(&self) -> Vec<u8> {
        let mut buffer = [0; 65_535];
        let mut heard = Vec::new();
        loop {
            let (length, from) = self.socket.recv_from(&mut buffer).expect("no BYE");
            if length > 12 && buffer[0] == 0x80 {
                heard.extend_from_slice(&buffer[12..length]);
            }
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if !text.starts_with("BYE ") {
                continue;
            }
            let copied = ["via", "from", "to", "call-id", "cseq"];
            let mut answer = String::from("SIP/2.0 200 OK\r\n");
            for line in text.lines() {
                let name = line.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
                if copied.contains(&name.as_str()) {
                    answer.push_str(&format!("{line}\r\n"));
                }
            }
            answer.push_str("Content-Length: 0\r\n\r\n");
            self.socket.send_to(answer.as_bytes(), from).unwrap();
            return heard;
        }
    }

    /// Ends the dialog.
    pub(crate) fn bye(&mut self, user: &str) {
        self.sequence += 1;
        self.send("BYE", user, "");
        self.response(200);
    }
}
