//! Registers at a registrar and stays registered until interrupted: `register sip:127.0.0.1:5060 ana secret`.

use std::{error::Error, net::SocketAddr, time::Duration};

use offhook_signaling::{
    Config, Event, Registration, Transport, Uri, event::RegistrationState, io::UserAgent,
};

#[allow(clippy::wildcard_enum_match_arm, reason = "shows whatever else happens")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [registrar, user, password] = words.as_slice() else {
        return Err("usage: register sip:REGISTRAR USER PASSWORD".into());
    };
    let address = SocketAddr::from(([0, 0, 0, 0], 0));
    let mut agent = UserAgent::bind(&[(Transport::Udp, address)], Config::default())?;
    let registration = Registration::new(Uri::parse(registrar)?, user, password);
    let id = agent.act(|endpoint, now| endpoint.register(now, registration));
    loop {
        let event = tokio::select! {
            event = agent.event() => event,
            _ = tokio::signal::ctrl_c() => {
                agent.act(|endpoint, now| endpoint.unregister(now, id));
                agent.finish(Duration::from_secs(2)).await;
                return Ok(());
            }
        };
        match event {
            Event::Registration(_, RegistrationState::Registered(seconds)) => {
                println!("registered for {seconds} s")
            }
            Event::Registration(_, RegistrationState::Failed(status)) => println!("refused: {status}"),
            Event::Registration(_, RegistrationState::Unregistered) => println!("unregistered"),
            other => println!("{other:?}"),
        }
    }
}
