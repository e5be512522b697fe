//! Rules as the plan has them.

use super::{Host, Most, Network};
use aido_runtime::{Egress, EgressBudget, EgressInject, EgressRule, EgressTls, Network as Planned};

impl Network {
    /// What an engine is told of it.
    pub(crate) fn planned(&self) -> Planned {
        if self.is_none() {
            return Planned::None;
        }
        let rules = self.hosts.iter().map(|told| told.value.planned()).collect();
        Planned::Gateway(Egress { any: self.any.is_some(), rules, budget: self.most.planned(), learn: false })
    }
}

impl Host {
    fn planned(&self) -> EgressRule {
        EgressRule {
            host: self.host.clone(),
            deny: self.deny,
            ports: self.ports.clone(),
            methods: self.methods.clone(),
            paths: self.paths.clone(),
            inject: self.inject.as_ref().map(|inject| EgressInject {
                header: inject.header.clone(),
                value: inject.value.clone(),
                from: inject.from.clone(),
            }),
            tls: self.pass.then_some(EgressTls::Pass),
            private: self.private,
            websocket: self.websocket,
            budget: self.most.planned(),
        }
    }
}

impl Most {
    fn planned(self) -> EgressBudget {
        EgressBudget { connections: self.connections, bytes: self.bytes }
    }
}
