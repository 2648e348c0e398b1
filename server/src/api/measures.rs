//! The one table of what is measured, printed for Prometheus and as JSON.

use control::{
    io::LegReport,
    media::{Mos, io::WorkerGauges},
};
use serde_json::{Value, json};

use super::Snapshot;

/// Up and down, or up only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gauge,
    Counter,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
        }
    }
}

struct Measure {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    value: u64,
}

fn measures(snapshot: &Snapshot) -> Vec<Measure> {
    let Snapshot { gauges, counts, calls, draining, uptime, legs } = snapshot;
    let (sip, media, transports) = (&gauges.signaling, &gauges.media, &gauges.transports);
    let gauge = |name, value: usize, help| Measure { name, kind: Kind::Gauge, help, value: value as u64 };
    let counter = |name, value: u64, help| Measure { name, kind: Kind::Counter, help, value };
    vec![
        gauge("calls", *calls, "Calls that are up."),
        gauge("legs", gauges.legs, "Legs, one per party of a call."),
        gauge("sessions", media.sessions, "Media sessions."),
        gauge(
            "mos_received_hundredths",
            mean(legs.iter().map(|leg| leg.quality.mos_received)),
            "Mean opinion score of what legs said in the last seconds, by the E-model, x 100; 0 while unknown.",
        ),
        gauge(
            "mos_sent_hundredths",
            mean(legs.iter().map(|leg| leg.quality.mos_sent)),
            "Mean opinion score of what legs heard in the last seconds, as they report, x 100; 0 while unknown.",
        ),
        gauge("rtp_ports", media.ports_in_use, "Pairs of RTP ports in use."),
        gauge("sessions_on_shared_ports", media.sharing, "Media sessions on shared RTP ports."),
        gauge("rtp_ports_quarantined", media.ports_quarantined, "Pairs of RTP ports that rest after use."),
        gauge("invites", sip.invites, "INVITE usages."),
        gauge("dialogs", sip.dialogs, "Dialogs."),
        gauge("client_transactions", sip.client_transactions, "Client transactions."),
        gauge("server_transactions", sip.server_transactions, "Server transactions."),
        gauge("bindings", sip.bindings, "Registered contacts."),
        gauge("timers", sip.timers, "Running SIP timers."),
        gauge("connections", transports.connections as usize, "Open TCP connections."),
        gauge("media_workers", media.workers, "Media threads."),
        gauge(
            "latest_wake_us",
            media.latest_wake_us as usize,
            "Lateness of the worst beat of the last second, us.",
        ),
        gauge(
            "draining",
            usize::from(*draining),
            "1 while new calls are refused because the server is stopping.",
        ),
        gauge("uptime_seconds", uptime.as_secs() as usize, "Seconds since the start."),
        counter("calls_total", counts.incoming, "Calls that came in."),
        counter(
            "incoming_answered_total",
            counts.incoming_answered,
            "Incoming legs that ended after an answer.",
        ),
        counter(
            "incoming_failed_total",
            counts.incoming_failed,
            "Incoming legs that ended without an answer.",
        ),
        counter(
            "outgoing_answered_total",
            counts.outgoing_answered,
            "Outgoing legs that ended after an answer.",
        ),
        counter(
            "outgoing_failed_total",
            counts.outgoing_failed,
            "Outgoing legs that ended without an answer.",
        ),
        counter(
            "calls_refused_total",
            counts.refused,
            "Calls refused with 503 because as many were served as could be.",
        ),
        counter(
            "rtp_packets_late_total",
            counts.packets_late,
            "RTP packets of ended legs that came too late to be heard.",
        ),
        counter(
            "srtp_packets_refused_total",
            counts.packets_refused,
            "Packets of ended legs with a wrong key, or received before.",
        ),
        counter(
            "leg_frames_skipped_total",
            counts.frames_skipped,
            "Frames that ended legs were not sent because their media thread was late.",
        ),
        counter(
            "session_moves_total",
            media.moves,
            "Media sessions that moved to another thread to be with those they hear.",
        ),
        counter("rtp_packets_lost_total", counts.packets_lost, "RTP packets that ended legs have missed."),
        counter("rtp_datagrams_total", media.datagrams, "RTP and RTCP datagrams received."),
        counter("rtp_transmits_total", media.transmits, "RTP and RTCP datagrams produced."),
        counter(
            "rtp_undelivered_total",
            media.undelivered,
            "RTP and RTCP datagrams the system refused to send.",
        ),
        counter(
            "rtp_strangers_total",
            media.strangers,
            "Datagrams dropped on shared RTP ports because nobody expects their sender.",
        ),
        counter(
            "rtp_surplus_total",
            media.surplus,
            "RTP and RTCP datagrams dropped because their peer sent far too many.",
        ),
        counter(
            "late_beats_total",
            media.late_beats,
            "Beats of a media thread that began more than a beat late.",
        ),
        counter(
            "skipped_frames_total",
            media.skipped_frames,
            "Frames skipped because a media thread was late.",
        ),
        counter(
            "continuity_violations_total",
            media.continuity_violations,
            "Breaches of the continuity of sent RTP; anything but 0 is a defect.",
        ),
        counter(
            "stale_commands_total",
            media.stale_commands,
            "Media commands that came after the end of their session.",
        ),
        counter(
            "queue_full_total",
            media.queue_full,
            "Media commands refused because a thread did not keep up.",
        ),
        counter("sip_received_total", transports.received, "SIP messages received."),
        counter("sip_sent_total", transports.sent, "SIP messages sent."),
        counter(
            "sip_dropped_total",
            sip.dropped_messages,
            "SIP messages thrown away because nothing can answer them.",
        ),
        counter("sip_unsent_total", transports.dropped, "SIP messages the transport had to drop."),
    ]
}

/// Figures of each media thread: name, kind, help and value.
type WorkerMeasure = (&'static str, Kind, &'static str, fn(&WorkerGauges) -> u64);

const WORKER_MEASURES: [WorkerMeasure; 8] = [
    ("sessions", Kind::Gauge, "Media sessions.", |worker| worker.sessions as u64),
    ("load_permille", Kind::Gauge, "Share of its time in which it works.", |worker| {
        worker.load_permille.into()
    }),
    ("latest_wake_us", Kind::Gauge, "Lateness of its worst beat of the last second, us.", |worker| {
        worker.latest_wake_us
    }),
    ("late_beats_total", Kind::Counter, "Beats that began more than a beat late.", |worker| {
        worker.late_beats
    }),
    ("skipped_frames_total", Kind::Counter, "Frames skipped because it was late.", |worker| {
        worker.skipped_frames
    }),
    ("concealed_frames_total", Kind::Counter, "Frames concealed because packets were missing.", |worker| {
        worker.concealed_frames
    }),
    ("late_packets_total", Kind::Counter, "Packets that came too late to be heard.", |worker| {
        worker.late_packets
    }),
    ("queue_full_total", Kind::Counter, "Commands refused because its queue was full.", |worker| {
        worker.queue_full
    }),
];

/// Prometheus text exposition format.
pub(super) fn prometheus(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for Measure { name, kind, help, value } in measures(snapshot) {
        let kind = kind.name();
        text.push_str(&format!(
            "# HELP offhook_{name} {help}\n# TYPE offhook_{name} {kind}\noffhook_{name} {value}\n"
        ));
    }
    for (name, kind, help, value) in WORKER_MEASURES {
        let kind = kind.name();
        text.push_str(&format!(
            "# HELP offhook_worker_{name} Media thread: {help}\n# TYPE offhook_worker_{name} {kind}\n"
        ));
        for (number, worker) in snapshot.gauges.workers.iter().enumerate() {
            text.push_str(&format!("offhook_worker_{name}{{worker=\"{number}\"}} {}\n", value(worker)));
        }
    }
    text
}

/// Of those that are known.
fn mean(scores: impl Iterator<Item = Mos>) -> usize {
    let (sum, count) = scores
        .map(|score| usize::from(score.hundredths()))
        .filter(|score| *score > 0)
        .fold((0, 0), |(sum, count), score| (sum + score, count + 1));
    usize::checked_div(sum, count).unwrap_or(0)
}

/// One object for each leg, in the order of their ids.
pub(super) fn legs(snapshot: &Snapshot) -> Value {
    let score = |mos: Mos| match mos.hundredths() {
        0 => Value::Null,
        hundredths => (f64::from(hundredths) / 100.0).into(),
    };
    let leg = |report: &LegReport| {
        let quality = &report.quality;
        json!({
            "leg": report.leg.0.to_string(),
            "state": format!("{:?}", report.state).to_lowercase(),
            "bridged": report.bridged.map(|leg| leg.0.to_string()),
            "mos_received": score(quality.mos_received),
            "mos_sent": score(quality.mos_sent),
            "loss_received_percent": f64::from(quality.loss_received) / 2.56,
            "loss_sent_percent": f64::from(quality.loss_sent) / 2.56,
            "jitter_ms": quality.jitter_ms,
            "round_trip_ms": quality.round_trip_ms,
            "unheard": quality.unheard.names().collect::<Vec<_>>(),
            "unsaid": quality.unsaid.names().collect::<Vec<_>>(),
        })
    };
    Value::Array(snapshot.legs.iter().map(leg).collect())
}

/// One flat object; the media threads in an array.
pub(super) fn json(snapshot: &Snapshot) -> Value {
    let members =
        measures(snapshot).into_iter().map(|measure| (measure.name.to_owned(), Value::from(measure.value)));
    let workers = snapshot.gauges.workers.iter().map(|worker| {
        let figures =
            WORKER_MEASURES.iter().map(|(name, _, _, value)| ((*name).to_owned(), value(worker).into()));
        Value::Object(figures.collect())
    });
    let workers = ("workers".to_owned(), Value::Array(workers.collect()));
    Value::Object(members.chain([workers]).collect())
}
