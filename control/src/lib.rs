//! Telephone verbs on legs (to be written).
