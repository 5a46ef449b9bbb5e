//! Prints what a ready-made graph is: `cargo run --release -p berth-export --example inspect -- FILE.onnx`.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: inspect FILE.onnx")?;
    let start = std::time::Instant::now();
    let description = berth_export::inspect_graph(Path::new(&path))?;
    #[expect(clippy::print_stdout, reason = "an example prints")]
    {
        println!("{description:#?}");
        println!("read in {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(())
}
