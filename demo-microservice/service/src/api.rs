//! Which request is answered by what.

use crate::{
    answer::{self, Answer, Refusal},
    body, log,
    net::Database,
    orders::{Order, Orders},
};
use http_body_util::Full;
use hyper::{Method, Request, body::Incoming};
use mysql_wire::Pool;

const ENDPOINTS: &str = "The valid endpoints are /init /create_order /create_orders /update_order /orders /delete_order";

/// The paths that are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Root,
    Echo,
    Health,
    Init,
    CreateOrder,
    CreateOrders,
    UpdateOrder,
    Orders,
    DeleteOrder,
}

impl Route {
    fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/" => Self::Root,
            "/echo" => Self::Echo,
            "/healthz" => Self::Health,
            "/init" => Self::Init,
            "/create_order" => Self::CreateOrder,
            "/create_orders" => Self::CreateOrders,
            "/update_order" => Self::UpdateOrder,
            "/orders" => Self::Orders,
            "/delete_order" => Self::DeleteOrder,
            _ => return None,
        })
    }

    /// Whether pages from elsewhere use it.
    fn is_api(self) -> bool {
        !matches!(self, Self::Root | Self::Echo | Self::Health)
    }

    /// The methods it is used by, as in the header `Allow`.
    ///
    /// HEAD stands beside GET only where GET changes nothing.
    fn methods(self) -> &'static str {
        match self {
            Self::Root | Self::Health => "GET, HEAD",
            Self::Echo => "POST",
            Self::Init | Self::DeleteOrder => "GET, OPTIONS",
            Self::Orders => "GET, HEAD, OPTIONS",
            Self::CreateOrder | Self::CreateOrders | Self::UpdateOrder => "POST, OPTIONS",
        }
    }
}

/// The service, apart from its connections.
pub struct Api {
    orders: Orders,
    database: String,
}

impl Api {
    pub fn new(pool: Pool<Database>) -> Self {
        let database = format!("{}:{}", pool.options().host, pool.options().port);
        Self {
            orders: Orders::new(pool),
            database,
        }
    }

    /// Answers a request, whatever it is, and logs what went wrong.
    pub async fn answer(&self, request: Request<Incoming>) -> Answer {
        let route = Route::of(request.uri().path());
        let result = match route {
            Some(route) if is_allowed(route, request.method()) => {
                // Only for a log line: the request itself is used up by then.
                let (method, path) = (
                    request.method().clone(),
                    request.uri().path_and_query().cloned(),
                );
                let result = self.serve(route, request).await;
                if let Err(refusal) = &result {
                    let path = path.as_ref().map_or("", |path| path.as_str());
                    self.log(&method, path, refusal);
                }
                result
            }
            Some(route) => Err(Refusal::Method(route.methods())),
            None => Err(Refusal::NotFound),
        };
        let mut answer = result.unwrap_or_else(|refusal| refusal.answer());
        if route.is_some_and(Route::is_api) {
            answer::allow_origins(answer.headers_mut());
        }
        answer
    }

    async fn serve(&self, route: Route, request: Request<Incoming>) -> Result<Answer, Refusal> {
        if request.method() == Method::OPTIONS {
            return Ok(Answer::default());
        }
        match route {
            Route::Root => return Ok(answer::text(ENDPOINTS)),
            Route::Echo => return Ok(Answer::new(Full::new(body::read(request).await?))),
            Route::Orders => return Ok(answer::json(self.orders.list().await?)),
            Route::Health => self.orders.check().await?,
            Route::Init => self.orders.init().await?,
            Route::CreateOrder => {
                let order = Order::from_json(&body::read(request).await?)?;
                self.orders.create(&order).await?;
            }
            Route::CreateOrders => {
                let orders = Order::list_from_json(&body::read(request).await?)?;
                self.orders.create_all(&orders).await?;
            }
            Route::UpdateOrder => {
                let order = Order::from_json(&body::read(request).await?)?;
                self.orders.update(&order).await?;
            }
            Route::DeleteOrder => {
                let order_id = order_id(request.uri().query().unwrap_or_default())?;
                self.orders.delete(order_id).await?;
            }
        }
        Ok(answer::done())
    }

    fn log(&self, method: &Method, path: &str, refusal: &Refusal) {
        let status = refusal.status().as_u16();
        match refusal {
            Refusal::Database(error) => log::line(format_args!(
                "error: {method} {path}: {status}: database {}: {error}",
                self.database
            )),
            refusal => log::line(format_args!("error: {method} {path}: {status}: {refusal}")),
        }
    }
}

fn is_allowed(route: Route, method: &Method) -> bool {
    route
        .methods()
        .split(", ")
        .any(|allowed| method.as_str() == allowed)
}

/// The number in `id=`; of several, the last counts.
fn order_id(query: &str) -> Result<i32, Refusal> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let id = pairs
        .filter(|(name, _)| *name == "id")
        .map(|(_, value)| value)
        .next_back();
    let Some(id) = id else {
        return Err(Refusal::Invalid(
            "the query needs id=, the number of an order".into(),
        ));
    };
    id.parse()
        .map_err(|_| Refusal::Invalid(format!("'{id}' is not the number of an order")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_names_only_paths_that_exist() {
        for path in ENDPOINTS.split(' ').filter(|word| word.starts_with('/')) {
            assert!(Route::of(path).is_some_and(Route::is_api), "{path}");
        }
    }

    #[test]
    fn paths_are_taken_literally() {
        assert_eq!(Route::of("/init"), Some(Route::Init));
        for path in ["", "/init/", "/INIT", "//init", "/init%20"] {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }

    #[test]
    fn what_changes_something_has_no_head() {
        assert!(is_allowed(Route::Orders, &Method::HEAD));
        assert!(!is_allowed(Route::Init, &Method::HEAD));
        assert!(!is_allowed(Route::DeleteOrder, &Method::HEAD));
        assert!(!is_allowed(Route::Echo, &Method::GET));
    }

    #[test]
    fn an_order_id_is_a_number() {
        assert_eq!(order_id("id=2").unwrap(), 2);
        assert_eq!(order_id("x=1&id=1&id=-7&y").unwrap(), -7);
        for query in [
            "",
            "id",
            "ids=2",
            "id=",
            "id=2x",
            "id=2147483648",
            "id=2%20",
        ] {
            assert_eq!(
                order_id(query).unwrap_err().status().as_u16(),
                400,
                "{query}"
            );
        }
    }
}
