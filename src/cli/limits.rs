//! The limits of `http`, taken from the settings in `[limits]` and `[http]`.

use crate::{
    config::HttpTimes,
    http::{ServerLimits, TrafficLimits},
    limits::Limits,
    quota::{Quota, QuotaLimits},
};

pub(super) fn traffic_limits(limits: &Limits) -> TrafficLimits {
    let number = |limit| u32::try_from(limit).unwrap_or(u32::MAX);
    TrafficLimits {
        requests_max: limits.requests,
        user_requests_max: limits.user_requests,
        user_rate: number(limits.user_rate),
        user_burst: number(limits.user_burst),
        time_max: limits.request_time,
    }
}

pub(super) fn server_limits(limits: &Limits, times: HttpTimes) -> ServerLimits {
    ServerLimits {
        connections_max: limits.connections,
        new_connections_max: limits.new_connections,
        address_connections_max: limits.address_connections,
        user_connections_max: limits.user_connections,
        quota: Quota::new(QuotaLimits {
            bytes_max: limits.buffer_bytes,
            user_bytes_max: limits.user_buffer_bytes,
        }),
        times,
    }
}
