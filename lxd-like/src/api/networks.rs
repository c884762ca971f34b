//! `/1.0/networks`: managed bridges.

use axum::extract::State;
use axum::response::Response;
use sc_api::{
    AddressFamily, Network, NetworkAddress, NetworkCounters, NetworkLease, NetworkState,
    NetworksPost,
};

use super::extract::{Json, ListQuery, Path, Query};
use super::respond;
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::model::NetworkRecord;

/// Lists managed networks.
pub async fn list(State(ctx): State<Ctx>, Query(query): Query<ListQuery>) -> Result<Response> {
    let all = ctx.store.list_docs::<NetworkRecord>(&[])?;
    Ok(match query.depth {
        0 => {
            let path = |network: &NetworkRecord| format!("/1.0/networks/{}", network.name);
            respond::sync(all.iter().map(|doc| path(&doc.value)).collect::<Vec<_>>())
        }
        _ => {
            let mut views = Vec::new();
            for doc in &all {
                views.push(view(&ctx, &doc.value).await?);
            }
            respond::sync(views)
        }
    })
}

/// Creates a network.
pub async fn create(State(ctx): State<Ctx>, Json(post): Json<NetworksPost>) -> Result<Response> {
    if !matches!(post.network_type.as_str(), "" | "bridge") {
        return Err(Error::invalid(format!(
            "network type {:?} is not supported: use bridge",
            post.network_type
        )));
    }
    let path = format!("/1.0/networks/{}", post.name);
    ctx.networks.create(post.name, post.description, &post.config).await?;
    ctx.events.lifecycle("network-created", path.clone());
    Ok(respond::created(&path))
}

/// One network.
pub async fn get(State(ctx): State<Ctx>, Path(name): Path<String>) -> Result<Response> {
    let record = ctx.networks.record(&name)?;
    Ok(respond::sync_with_etag(view(&ctx, &record).await?, &record.config))
}

/// Deletes a network.
pub async fn delete(State(ctx): State<Ctx>, Path(name): Path<String>) -> Result<Response> {
    ctx.networks.delete(&name).await?;
    ctx.events.lifecycle("network-deleted", format!("/1.0/networks/{name}"));
    Ok(respond::done())
}

/// What its interface is like at the moment.
pub async fn state(State(ctx): State<Ctx>, Path(name): Path<String>) -> Result<Response> {
    ctx.networks.record(&name)?;
    let found = ctx.networks.get(&name)?.state().await?;
    let addresses = found.addresses.iter().map(|(address, prefix)| NetworkAddress {
        family: if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 },
        address: address.to_string(),
        netmask: prefix.to_string(),
        scope: scope(address).into(),
    });
    Ok(respond::sync(NetworkState {
        addresses: addresses.collect(),
        counters: NetworkCounters {
            bytes_received: found.counters.bytes_received,
            bytes_sent: found.counters.bytes_sent,
            packets_received: found.counters.packets_received,
            packets_sent: found.counters.packets_sent,
            ..NetworkCounters::default()
        },
        hwaddr: found.hwaddr,
        mtu: found.mtu,
        state: if found.up { "up" } else { "down" }.into(),
        state_type: "broadcast".into(),
    }))
}

/// The addresses that it gave away.
pub async fn leases(State(ctx): State<Ctx>, Path(name): Path<String>) -> Result<Response> {
    ctx.networks.record(&name)?;
    let found = ctx.networks.get(&name)?.leases().await?;
    let leases = found.into_iter().map(|lease| NetworkLease {
        hostname: lease.hostname,
        hwaddr: lease.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        address: lease.address.to_string(),
        lease_type: lease.kind.as_str().into(),
        location: "none".into(),
    });
    Ok(respond::sync(leases.collect::<Vec<_>>()))
}

fn scope(address: &std::net::IpAddr) -> &'static str {
    match address {
        std::net::IpAddr::V6(address) if address.is_unicast_link_local() => "link",
        _ => "global",
    }
}

async fn view(ctx: &Ctx, record: &NetworkRecord) -> Result<Network> {
    let available = match ctx.networks.get(record.name.as_str()) {
        Ok(network) => network.has_bridge().await.unwrap_or(false),
        Err(_) => false,
    };
    Ok(Network {
        name: record.name.to_string(),
        description: record.description.clone(),
        network_type: "bridge".into(),
        config: record.config.clone(),
        managed: true,
        status: if available { "Created" } else { "Unavailable" }.into(),
        locations: vec!["none".into()],
        used_by: ctx.networks.used_by(record.name.as_str())?,
    })
}
