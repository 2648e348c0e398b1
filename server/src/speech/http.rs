//! A server that speaks as OpenAI's `/v1/audio/speech` does.

use std::io::Read;

use control::signaling::auth::credentials::Secret;
use serde_json::json;
use ureq::Agent;

use super::Format;

/// Asks for speech; the audio is read while it is synthesised.
pub(super) fn speak(
    agent: &Agent,
    url: &str,
    key: Option<&Secret>,
    model: &str,
    text: &str,
    voice: &str,
    format: Format,
) -> Result<impl Read + Send + Sync + use<>, String> {
    let response_format = match format {
        Format::Wav => "wav",
        Format::Pcm(_) => "pcm",
    };
    let body = json!({ "model": model, "input": text, "voice": voice, "response_format": response_format });
    let mut request = agent.post(url).header("content-type", "application/json");
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {}", key.expose()));
    }
    let response = request.send(body.to_string()).map_err(|error| format!("speech: {error}"))?;
    let status = response.status();
    let mut body = response.into_body();
    if status != 200 {
        let said = body.with_config().limit(1_000).read_to_string().unwrap_or_default();
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        return Err(format!(
            "speech: the server says {status}: {}",
            said.chars().take(200).collect::<String>()
        ));
    }
    Ok(body.into_with_config().limit(MAX_BYTES).reader())
}

/// Longest speech that is taken, bytes: an hour at 24 kHz.
const MAX_BYTES: u64 = 200 << 20;
