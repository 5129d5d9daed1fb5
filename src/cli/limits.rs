//! Passes the settings of `[limits]` and `[http]` to the modules that apply them. What they mean is in each module.

use std::{collections::BTreeSet, sync::Arc};

use tidegate_core::{id::UserId, membership::Bounds};

use crate::{
    config::{HttpTimes, LimitsConfig},
    graphql::DoorLimits,
    http::{QuotaLimits, ServerLimits, TrafficLimits},
    sync::SyncLimits,
};

pub(super) fn door_limits(limits: &LimitsConfig) -> DoorLimits {
    DoorLimits {
        query_bytes_max: limits.query_bytes,
        tokens_max: limits.query_tokens,
        depth_max: limits.query_depth,
        aliases_max: limits.query_aliases,
        directives_max: limits.query_directives,
        root_fields_max: limits.query_roots,
        fragment_expansion_max: limits.query_nodes,
        variables_depth_max: limits.variables_depth,
        cost_max: limits.query_cost,
        answer_bytes_max: limits.answer_bytes,
        page_changes_max: limits.page_changes,
        page_bytes_max: limits.page_bytes,
        ..DoorLimits::default()
    }
}

pub(super) fn sync_limits(limits: &LimitsConfig, services: BTreeSet<UserId>) -> SyncLimits {
    SyncLimits {
        push_changes: limits.push_changes,
        page_changes: limits.page_changes,
        page_bytes: limits.page_bytes,
        live_page_bytes: limits.live_page_bytes,
        push_queue_bytes: limits.push_queue_bytes,
        bounds: Arc::new(Bounds::within(
            limits.body_bytes,
            limits.user_scopes,
            services,
        )),
        user_clients: limits.user_clients,
    }
}

pub(super) fn traffic_limits(limits: &LimitsConfig) -> TrafficLimits {
    let number = |limit| u32::try_from(limit).unwrap_or(u32::MAX);
    TrafficLimits {
        requests_max: limits.requests,
        user_requests_max: limits.user_requests,
        user_rate: number(limits.user_rate),
        user_burst: number(limits.user_burst),
        time_max: limits.request_time,
    }
}

pub(super) fn quota_limits(limits: &LimitsConfig) -> QuotaLimits {
    QuotaLimits {
        bytes_max: limits.buffer_bytes,
        user_bytes_max: limits.user_buffer_bytes,
    }
}

pub(super) fn server_limits(limits: &LimitsConfig, times: HttpTimes) -> ServerLimits {
    ServerLimits {
        connections_max: limits.connections,
        new_connections_max: limits.new_connections,
        address_connections_max: limits.address_connections,
        user_connections_max: limits.user_connections,
        times,
    }
}
