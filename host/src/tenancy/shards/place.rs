//! Place: where a tenant's record is kept. The same in every version.

use crate::model::TenantId;
use crate::tenancy::ownership::spread;

/// How many ConfigMaps hold the records. Ten thousand tenants of three hundred bytes take a third of each.
pub const SHARDS: usize = 8;

/// The longest key of a ConfigMap.
const KEY_BYTES_MAX: usize = 253;

/// A tenant's place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    /// Which ConfigMap, from 0.
    pub(super) shard: usize,
    /// Which key in it.
    pub(super) key: String,
}

impl Place {
    /// Where the tenant's record is.
    pub(super) fn of(tenant: &TenantId) -> Place {
        let id = tenant.to_string();
        // No name holds a `_`, so no two tenants share a key.
        let key = format!("{}_{}", tenant.namespace, tenant.name);
        let key = match key.len() <= KEY_BYTES_MAX {
            true => key,
            false => format!("{}__{:016x}", tenant.namespace, spread(&id)),
        };
        Place { shard: (spread(&id) % SHARDS as u64) as usize, key }
    }
}

/// The name of a shard's ConfigMap.
pub fn config_map(shard: usize) -> String {
    format!("sluice-cursors-{shard}")
}

/// Which shard a ConfigMap of this name is.
pub(super) fn shard_of(config_map: &str) -> Option<usize> {
    let shard = config_map.strip_prefix("sluice-cursors-")?.parse().ok()?;
    (shard < SHARDS).then_some(shard)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(namespace: &str, name: &str) -> Place {
        Place::of(&TenantId { namespace: namespace.into(), name: name.into() })
    }

    #[test]
    fn places_are_the_same_in_every_version() {
        // The first eight bytes of `printf team-a/web | sha256sum`, by eight.
        assert_eq!(
            place("team-a", "web"),
            Place { shard: 0xa6d6_8893_13c2_3313_usize % 8, key: "team-a_web".into() }
        );
    }

    #[test]
    fn records_spread_over_all_shards() {
        let mut counts = [0; SHARDS];
        for n in 0..8_000 {
            counts[place(&format!("team-{}", n % 31), &format!("access-{n}")).shard] += 1;
        }
        assert!(counts.iter().all(|count| (850..=1_150).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_long_name_is_shortened_to_a_key_of_its_own() {
        let (long, longer) = (place("team-a", &"n".repeat(253)), place("team-a", &"m".repeat(253)));
        assert!(long.key.len() <= KEY_BYTES_MAX && long.key != longer.key);
        assert!(long.key.starts_with("team-a__"));
    }

    #[test]
    fn a_config_map_is_known_by_its_name() {
        for shard in 0..SHARDS {
            assert_eq!(shard_of(&config_map(shard)), Some(shard));
        }
        for name in ["sluice-cursors-8", "sluice-cursors-", "sluice-cursors-x", "other-1"] {
            assert_eq!(shard_of(name), None, "{name}");
        }
    }
}
