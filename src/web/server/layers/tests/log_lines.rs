//! The lines that strangers' requests have in the log (OA-19).

use super::*;
use crate::web::line_budget::LineBudget;

const STRANGER: &str = "198.51.100.7";
const INNOCENT: &str = "203.0.113.9";

/// A refused request that belongs to a user, a flow or a client of ours.
#[handler]
async fn known(request: &Request) -> StatusCode {
    Caller::from_request(request).log_line.always_write();
    StatusCode::BAD_REQUEST
}

fn bounded() -> impl Endpoint<Output = Response> {
    let layers = Layers {
        lines: Some(LineBudget::default()),
        // Requests of tests have no address of their own.
        trusted_proxies: ["0.0.0.0/32".parse().unwrap()].into(),
        ..layers()
    };
    routes().at("/known", known).with(layers)
}

async fn call(service: &impl Endpoint<Output = Response>, from: &str, path: &str) -> Response {
    let request = Request::builder()
        .uri_str(path)
        .header("host", "id.example")
        .header("x-forwarded-for", from);
    service.call(request.finish()).await.unwrap()
}

/// Runs `act` and returns what an operator's log has of it, once a count has been written.
async fn logged(act: impl AsyncFnOnce()) -> Vec<String> {
    let lines = LogBuffer::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let guard = tracing::subscriber::set_default(subscriber);
    act().await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    drop(guard);
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    log.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn oa_19_ten_thousand_refused_requests_write_few_lines_and_an_innocents_is_among_them() {
    let service = bounded();
    let began = Instant::now();
    let log = logged(async || {
        for _ in 0..10_000 {
            let response = call(&service, STRANGER, "/nowhere").await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND);
        }
        call(&service, INNOCENT, "/nowhere").await;
    })
    .await;
    let of = |network: &str| log.iter().filter(|line| line.contains(network)).count();
    assert_eq!((of(STRANGER), of(INNOCENT)), (30, 1));
    let counts: Vec<&String> = log.iter().filter(|line| line.contains("most=")).collect();
    assert_eq!(log.len(), 31 + counts.len());
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!((1..=seconds + 1).contains(&counts.len()), "{counts:#?}");
    let refused = counts.iter().map(|count| number(count, "refused="));
    assert_eq!(refused.sum::<u32>(), 9_970, "{counts:#?}");
    for part in ["served=0 ", "networks=1 ", "most=\"not_found\""] {
        assert!(counts[0].contains(part), "{}", counts[0]);
    }
}

/// Returns the number after these words of a line.
fn number(line: &str, words: &str) -> u32 {
    let rest = line.split_once(words).unwrap().1;
    rest.split(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn oa_19_od_4_an_error_shows_a_reference_only_if_its_line_is_written() {
    let service = bounded();
    let log = logged(async || {
        for turn in 0..100 {
            let path = ["/nowhere", "/api/nowhere"][turn % 2];
            let response = call(&service, STRANGER, path).await;
            let id = response.header("x-request-id").unwrap().to_owned();
            let body = response.into_body().into_string().await.unwrap();
            assert_eq!(body.contains(&id), turn < 30, "{turn}: {body}");
            assert_eq!(
                body.to_lowercase().contains("reference"),
                turn < 30,
                "{body}"
            );
        }
    })
    .await;
    assert_eq!(log.len(), 31, "30, and their number");
}

#[tokio::test]
async fn oa_19_what_belongs_to_us_and_faults_of_ours_are_always_logged() {
    let service = bounded();
    let log = logged(async || {
        for _ in 0..100 {
            call(&service, STRANGER, "/nowhere").await;
        }
        for _ in 0..100 {
            call(&service, STRANGER, "/known").await;
        }
        for _ in 0..50 {
            let response = call(&service, STRANGER, "/people/unavailable").await;
            let id = response.header("x-request-id").unwrap().to_owned();
            let body = response.into_body().into_string().await.unwrap();
            assert!(body.contains(&id), "{body}");
        }
    })
    .await;
    let with = |part: &str| log.iter().filter(|line| line.contains(part)).count();
    assert_eq!(with("route=\"/known\""), 100);
    assert_eq!(with("status=503"), 50);
    assert_eq!(with("secret cause"), 50, "each cause");
    assert_eq!(with("status=404"), 30);
}

#[tokio::test]
async fn oa_19_served_requests_of_strangers_have_lines_of_their_own() {
    let service = bounded();
    let log = logged(async || {
        for _ in 0..1_000 {
            call(&service, STRANGER, "/echo").await;
        }
        call(&service, STRANGER, "/nowhere").await;
    })
    .await;
    let with = |part: &str| log.iter().filter(|line| line.contains(part)).count();
    assert_eq!((with("status=200"), with("status=404")), (120, 1));
    let counts = log.iter().filter(|line| line.contains("most="));
    let served = counts.map(|count| number(count, "served="));
    assert_eq!(served.sum::<u32>(), 880);
}
