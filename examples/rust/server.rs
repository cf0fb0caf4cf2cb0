// An HTTP server on every socket that clusterctl hands over, one thread per connection, with the
// standard library alone. No signal handler. Build it with: rustc -O server.rs
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::FromRawFd;
use std::{env, process, thread};

const FIRST_PASSED_FD: i32 = 3; // see sd_listen_fds(3)

/// Answers requests without a body until the client has no more.
fn serve(mut client: TcpStream) -> std::io::Result<()> {
    let body = format!("{{\"pid\":{}}}\n", process::id());
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut requests = BufReader::new(client.try_clone()?);
    let mut line = String::new();
    while requests.read_line(&mut line)? > 0 {
        if line == "\r\n" {
            client.write_all(format!("{head}{body}").as_bytes())?;
        }
        line.clear();
    }
    Ok(())
}

fn main() {
    let count: i32 = env::var("LISTEN_FDS").expect("LISTEN_FDS").parse().expect("a number");
    let listeners: Vec<_> = (FIRST_PASSED_FD..FIRST_PASSED_FD + count)
        .map(|fd| thread::spawn(move || {
            // Safe: the descriptor is ours and nobody else in this process uses it.
            let listener = unsafe { TcpListener::from_raw_fd(fd) };
            listener.set_nonblocking(false).expect("a socket");
            for client in listener.incoming().flatten() {
                thread::spawn(|| serve(client));
            }
        }))
        .collect();
    for listener in listeners {
        listener.join().expect("a listener that goes on");
    }
}
