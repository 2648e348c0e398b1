//! Signal processing: tones, levels, sums, resampling, what fills gaps, and instruments that measure what was heard.

pub mod answering_machine;
pub mod beep;
pub mod call_progress;
pub mod conceal;
pub mod detect;
pub mod goertzel;
pub mod level;
pub(crate) mod limiter;
pub mod mix;
pub mod narrow;
pub mod polyphase;
pub mod rates;
pub mod resample;
pub mod stretch;
pub mod tone;
pub mod tone_plan;
pub mod tone_script;
pub mod voice_activity;
