//! gRPC health: this node serves when it knows who leads.

use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::replication::Leadership;

/// The services whose health is told, besides the node's as a whole (the empty name).
pub const SERVICES: &[&str] = &[
    "counterfoil.v1.CommandService",
    "counterfoil.v1.QueryService",
    "counterfoil.v1.ProductionService",
    "counterfoil.v1.MarketDataService",
    "counterfoil.v1.EventService",
    "counterfoil.v1.ClusterService",
    "counterfoil.v1.BackupService",
];

/// Keeps the health that is told in step with who leads. Runs until the replica stops.
pub async fn report_health(reporter: HealthReporter, mut leadership: watch::Receiver<Leadership>) {
    loop {
        let known = leadership.borrow_and_update().leader.is_some();
        tell(&reporter, if known { ServingStatus::Serving } else { ServingStatus::NotServing }).await;
        if leadership.changed().await.is_err() {
            tell(&reporter, ServingStatus::NotServing).await;
            return;
        }
    }
}

/// Tells one status for the node and all its services.
pub async fn tell(reporter: &HealthReporter, status: ServingStatus) {
    for service in std::iter::once(&"").chain(SERVICES) {
        reporter.set_service_status(*service, status).await;
    }
}
