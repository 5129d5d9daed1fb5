//! The manifests for Kubernetes, without a cluster: Kustomize renders them, they fit the schemas of Kubernetes and one
//! another, and what they say of a gateway is true.

use std::{fs, net::SocketAddr, sync::LazyLock};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    harness::{Server, command},
    wire::python_in,
};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kubernetes/example");

/// The manifests of the example, rendered. The script fails if one does not fit its schema.
static RENDERED: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let rendered = python_in("tests/kubernetes", "render.py", &[EXAMPLE]);
    serde_json::from_str(&rendered).unwrap()
});

fn manifest(kind: &str) -> &'static Value {
    let mut found = RENDERED.iter().filter(|manifest| manifest["kind"] == kind);
    let manifest = found.next().expect("there is one");
    assert!(found.next().is_none(), "{kind} twice");
    manifest
}

fn pod() -> &'static Value {
    &manifest("Deployment")["spec"]["template"]
}

fn container() -> &'static Value {
    &pod()["spec"]["containers"][0]
}

/// A directory with what the pod has at /etc/tidegate, and the command of its image there.
fn mounted() -> TempDir {
    let mount = &container()["volumeMounts"][0];
    let volume = &pod()["spec"]["volumes"][0];
    assert_eq!(mount["mountPath"], "/etc/tidegate");
    assert_eq!(mount["name"], volume["name"]);
    let map = manifest("ConfigMap");
    assert_eq!(volume["configMap"]["name"], map["metadata"]["name"]);
    let directory = TempDir::new().unwrap();
    for (name, text) in map["data"].as_object().unwrap() {
        fs::write(directory.path().join(name), text.as_str().unwrap()).unwrap();
    }
    directory
}

/// The port of the pod with this name.
fn port(name: &Value) -> u64 {
    let ports = container()["ports"].as_array().unwrap();
    let named = ports.iter().find(|port| port["name"] == *name).unwrap();
    named["containerPort"].as_u64().unwrap()
}

#[test]
fn the_manifests_fit_the_schemas_of_kubernetes_and_one_another() {
    let labels = &pod()["metadata"]["labels"];
    let deployment = manifest("Deployment");
    let budget = manifest("PodDisruptionBudget");
    for selector in [&deployment["spec"], &budget["spec"]] {
        assert_eq!(selector["selector"]["matchLabels"], *labels);
    }
    assert_eq!(manifest("Service")["spec"]["selector"], *labels);
    let spread = &pod()["spec"]["topologySpreadConstraints"][0];
    assert_eq!(spread["labelSelector"]["matchLabels"], *labels);

    let autoscaler = &manifest("HorizontalPodAutoscaler")["spec"];
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "tidegate"});
    assert_eq!(autoscaler["scaleTargetRef"], target);
    assert_eq!(deployment["metadata"]["name"], "tidegate");
    // A number here would take back what the autoscaler did with each apply.
    assert_eq!(deployment["spec"]["replicas"], Value::Null);
    // One gateway may be drained while another one serves.
    assert!(autoscaler["minReplicas"].as_u64().unwrap() > 1);
    assert_eq!(budget["spec"]["maxUnavailable"], 1);
}

#[test]
fn gateways_are_added_by_a_metric_that_they_have() {
    let metrics = &manifest("HorizontalPodAutoscaler")["spec"]["metrics"];
    let metrics = metrics.as_array().unwrap().iter();
    let own: Vec<&Value> = metrics.map(|it| &it["pods"]["metric"]["name"]).collect();
    let listed = fs::read_to_string("docs/metrics.md").unwrap();
    let named = own.iter().filter_map(|name| name.as_str());
    let named: Vec<&str> = named.collect();
    assert!(!named.is_empty());
    for name in named {
        assert!(
            listed.contains(&format!("| `{name}` | gauge |  |")),
            "{name}"
        );
    }
    let configuration = &manifest("ConfigMap")["data"]["tidegate.toml"];
    let listen = format!("listen = \"0.0.0.0:{}\"", port(&json!("metrics")));
    assert!(
        configuration.as_str().unwrap().contains(&listen),
        "{listen}"
    );
}

#[test]
fn the_mounted_configuration_and_model_are_good() {
    let directory = mounted();
    let mut check = command(directory.path());
    check.arg("check");
    let mut keys = Vec::new();
    for variable in container()["env"].as_array().unwrap() {
        let secret = &variable["valueFrom"]["secretKeyRef"];
        assert_eq!(secret["name"], "tidegate");
        keys.push(secret["key"].as_str().unwrap());
        check.env(variable["name"].as_str().unwrap(), "a password");
    }
    // Of MongoDB, which is not there, only the example's addresses are known.
    check.env("TIDEGATE_STORE__URL", "embedded:data");
    let output = check.output().unwrap();
    let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(printed.contains("configuration: good"), "{printed}");
    assert!(!printed.contains("warning"), "{printed}");

    // The commands in the comment make the secret.
    let kustomization = fs::read_to_string(format!("{EXAMPLE}/kustomization.yaml")).unwrap();
    for key in keys {
        let literal = format!("--from-literal={key}=");
        assert!(kustomization.contains(&literal), "{literal}");
    }
}

#[test]
fn the_service_and_the_probes_meet_the_port_where_the_gateway_listens() {
    let directory = mounted();
    let configuration = fs::read_to_string(directory.path().join("tidegate.toml")).unwrap();
    let mut lines = configuration.lines();
    let listen = lines
        .find_map(|line| line.strip_prefix("listen = "))
        .unwrap();
    let listen: SocketAddr = listen.trim_matches('"').parse().unwrap();
    assert!(listen.ip().is_unspecified(), "{listen}");
    let service = &manifest("Service")["spec"]["ports"][0];
    assert_eq!(port(&service["targetPort"]), u64::from(listen.port()));
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let asked = &container()[probe]["httpGet"];
        assert_eq!(port(&asked["port"]), u64::from(listen.port()));
    }
}

#[tokio::test]
async fn the_probes_ask_what_a_gateway_answers() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    for (probe, path) in [
        ("startupProbe", "/healthz"),
        ("livenessProbe", "/healthz"),
        ("readinessProbe", "/readyz"),
    ] {
        assert_eq!(container()[probe]["httpGet"]["path"], path);
        let answer = reqwest::get(format!("{}{path}", server.url)).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
}

#[test]
fn a_pod_has_no_rights() {
    let pod = &pod()["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    // The user of the image.
    let dockerfile = fs::read_to_string("Dockerfile").unwrap();
    let uid = &pod["securityContext"]["runAsUser"];
    assert!(dockerfile.contains(&format!("--uid {uid}")), "{uid}");
    assert_eq!(pod["automountServiceAccountToken"], false);
    let rights = &container()["securityContext"];
    assert_eq!(rights["allowPrivilegeEscalation"], false);
    assert_eq!(rights["readOnlyRootFilesystem"], true);
    assert_eq!(rights["capabilities"], json!({"drop": ["ALL"]}));
}
