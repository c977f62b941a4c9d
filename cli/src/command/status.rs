//! `counterfoil status`

use clap::Args;
use proto::read::{GetReadModelStatusRequest, ViewStatus};

use crate::{
    call::ReadArgs,
    failure::Failure,
    output::{Fields, Table, duration, out, print_json, read_fields},
};

/// Shows how far each view of the read model has come.
#[derive(Args)]
pub(crate) struct Status {
    #[command(flatten)]
    read: ReadArgs,
}

impl Status {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let request = GetReadModelStatusRequest { consistency: self.read.consistency()? };
        let query = self
            .read
            .ask(request, async |mut client, query| client.get_read_model_status(query).await);
        let response = query.await?;
        if self.read.json {
            return print_json("counterfoil.read.v1.GetReadModelStatusResponse", &response);
        }
        let mut table = Table::new(&[
            "view",
            ">shard",
            ">position",
            ">head",
            ">lag events",
            ">lag",
            ">generation",
            "building",
        ]);
        for view in &response.views {
            table.row(cells(view));
        }
        let mut fields = Fields::default();
        read_fields(&mut fields, response.read.as_ref());
        out!("{table}\n{fields}");
        Ok(())
    }
}

fn cells(view: &ViewStatus) -> [String; 8] {
    let generation = match view.generation {
        0 => "none".to_owned(),
        generation => generation.to_string(),
    };
    let building = match view.building_generation {
        0 => String::new(),
        generation => format!("{generation}, at position {}", view.building_position),
    };
    [
        view.view.clone(),
        view.shard.to_string(),
        view.position.to_string(),
        view.head_position.to_string(),
        view.lag_events.to_string(),
        duration(view.lag.as_ref()),
        generation,
        building,
    ]
}
