//! Orders, and the statements that the published demo runs on them.

use crate::{answer::Refusal, net::Database};
use mysql_wire::{Error, Pool, Pooled, Value};
use serde::{Deserialize, Serialize};

const DROP: &str = "DROP TABLE IF EXISTS orders;";
const CREATE: &str = "CREATE TABLE orders (order_id INT, product_id INT, quantity INT, amount FLOAT, shipping FLOAT, tax FLOAT, shipping_address VARCHAR(256));";
const INSERT: &str = "INSERT INTO orders (order_id, product_id, quantity, amount, shipping, tax, shipping_address) VALUES (?, ?, ?, ?, ?, ?, ?)";
const UPDATE: &str = "UPDATE orders SET product_id=?, quantity=?, amount=?, shipping=?, tax=?, shipping_address=? WHERE order_id=?";
const SELECT: &str = "SELECT * FROM orders";
const DELETE: &str = "DELETE FROM orders WHERE order_id=?";

/// One order, as in requests, answers and the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::struct_field_names,
    reason = "the table's and the interface's names"
)]
pub struct Order<Text = String> {
    order_id: i32,
    product_id: i32,
    quantity: i32,
    amount: f32,
    shipping: f32,
    tax: f32,
    shipping_address: Text,
}

impl Order {
    /// Reads one order from JSON.
    ///
    /// # Errors
    /// A refusal that says where the text is wrong.
    pub fn from_json(json: &[u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(json)
            .map_err(invalid)
            .and_then(Self::checked)
    }

    /// Reads an array of orders from JSON.
    ///
    /// # Errors
    /// A refusal that says where the text is wrong.
    pub fn list_from_json(json: &[u8]) -> Result<Vec<Self>, Refusal> {
        let orders: Vec<Self> = serde_json::from_slice(json).map_err(invalid)?;
        orders.into_iter().map(Self::checked).collect()
    }

    fn checked(self) -> Result<Self, Refusal> {
        for (name, number) in [
            ("amount", self.amount),
            ("shipping", self.shipping),
            ("tax", self.tax),
        ] {
            if !number.is_finite() {
                return Err(Refusal::Invalid(format!(
                    "order {}: {name} is too large",
                    self.order_id
                )));
            }
        }
        Ok(self)
    }

    fn for_insert(&self) -> [Value<'_>; 7] {
        [
            self.order_id.into(),
            self.product_id.into(),
            self.quantity.into(),
            self.amount.into(),
            self.shipping.into(),
            self.tax.into(),
            self.shipping_address.as_str().into(),
        ]
    }

    fn for_update(&self) -> [Value<'_>; 7] {
        let mut values = self.for_insert();
        values.rotate_left(1);
        values
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
fn invalid(error: serde_json::Error) -> Refusal {
    Refusal::Invalid(format!("the body is not what is expected here: {error}"))
}

/// The table of orders.
#[derive(Clone)]
pub struct Orders(Pool<Database>);

impl Orders {
    pub fn new(pool: Pool<Database>) -> Self {
        Self(pool)
    }

    /// Makes the table anew, without any order.
    pub async fn init(&self) -> Result<(), Error> {
        let mut connection = self.0.get().await?;
        connection.query(DROP).await?;
        connection.query(CREATE).await?;
        Ok(())
    }

    pub async fn create(&self, order: &Order) -> Result<(), Error> {
        self.0.execute(INSERT, &order.for_insert()).await.map(drop)
    }

    /// Stores all of the orders or, where one cannot be stored, none.
    pub async fn create_all(&self, orders: &[Order]) -> Result<(), Error> {
        match orders {
            [] => Ok(()),
            [order] => self.create(order).await,
            orders => {
                let mut connection = self.0.get().await?;
                connection.query("START TRANSACTION").await?;
                match insert_all(&mut connection, orders).await {
                    Ok(()) => connection.query("COMMIT").await.map(drop),
                    Err(error) => {
                        // Where this fails too, the connection is closed, to the same end.
                        let _ = connection.query("ROLLBACK").await;
                        Err(error)
                    }
                }
            }
        }
    }

    pub async fn update(&self, order: &Order) -> Result<(), Error> {
        self.0.execute(UPDATE, &order.for_update()).await.map(drop)
    }

    pub async fn delete(&self, order_id: i32) -> Result<(), Error> {
        self.0.execute(DELETE, &[order_id.into()]).await.map(drop)
    }

    /// All orders as a JSON array.
    pub async fn list(&self) -> Result<Vec<u8>, Error> {
        let mut json = vec![b'['];
        let append = |row: mysql_wire::Row<'_>| {
            let order = Order::<&str> {
                order_id: row.get(0)?,
                product_id: row.get(1)?,
                quantity: row.get(2)?,
                amount: row.get(3)?,
                shipping: row.get(4)?,
                tax: row.get(5)?,
                shipping_address: row.get(6)?,
            };
            if json.len() > 1 {
                json.push(b',');
            }
            serde_json::to_writer(&mut json, &order)
                .map_err(|error| Error::Conversion(error.to_string()))
        };
        self.0.read(SELECT, &[], append).await?;
        json.push(b']');
        Ok(json)
    }

    /// Whether the database answers.
    pub async fn check(&self) -> Result<(), Error> {
        self.0.read("SELECT 1", &[], |_| Ok(())).await.map(drop)
    }
}

async fn insert_all(connection: &mut Pooled<Database>, orders: &[Order]) -> Result<(), Error> {
    for order in orders {
        connection.execute(INSERT, &order.for_insert()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"order_id":1,"product_id":12,"quantity":2,"amount":56.0,"shipping":15.0,"tax":2.1,"shipping_address":"Mataderos 2312"}"#;

    #[test]
    fn an_order_comes_back_byte_for_byte() {
        let order = Order::from_json(JSON.as_bytes()).unwrap();
        assert_eq!(serde_json::to_string(&order).unwrap(), JSON);
    }

    #[test]
    fn what_is_no_order_is_refused_with_its_place() {
        let reason = Order::from_json(br#"{"order_id":1}"#)
            .unwrap_err()
            .to_string();
        assert_eq!(
            reason,
            "the body is not what is expected here: missing field `product_id` at line 1 column 14"
        );
        assert!(Order::list_from_json(JSON.as_bytes()).is_err());
    }

    #[test]
    fn numbers_that_no_float_holds_are_refused() {
        let json = JSON.replace("56.0", "1e39");
        let reason = Order::list_from_json(format!("[{json}]").as_bytes())
            .unwrap_err()
            .to_string();
        assert_eq!(reason, "order 1: amount is too large");
    }
}
