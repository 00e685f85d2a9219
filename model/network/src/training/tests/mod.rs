use burn::backend::Autodiff;
use burn_flex::Flex;
use factorseg_kernels::Decoding;

use super::*;

type Tested = Autodiff<Flex>;

/// A group whose other members have gradients of 1.
struct Ones(Vec<Row<Tested>>);

impl GroupSum<Tested> for Ones {
    fn begin(&mut self, rows: Vec<Row<Tested>>) -> Result<(), KernelError> {
        self.0.extend(rows);
        Ok(())
    }

    fn end(&mut self) -> Result<Vec<Row<Tested>>, KernelError> {
        Ok(self.0.drain(..).map(|row| row + 1.0).collect())
    }
}

/// The smallest network, its weights numbers around 0.
fn network() -> BurnTraining<Tested> {
    let architecture = Architecture {
        base_channels: 4,
        channel_multipliers: vec![1],
        residual_blocks: 1,
        attention_levels: vec![false],
        attention_heads: 1,
        attention_head_channels: None,
        resblock_updown: false,
        norm_groups: 2,
        regions: 2,
        classes: 0,
        decoding: Decoding::Factorized,
    };
    let size = TrainingSize {
        side: 4,
        batch: 1,
        waiting: 0,
    };
    let mut network = BurnTraining::new(&architecture, size, Default::default(), false).unwrap();
    let count = network.list.last().unwrap().range().end;
    let weights: Vec<f32> = (0..count).map(|index| 0.3 * (index as f32).sin()).collect();
    network.set_parameters(&weights).unwrap();
    network
}

/// Goes through a pass without the mask generator; `told` is called when the decoder's gradient is whole.
fn pass(network: &mut BurnTraining<Tested>, told: impl FnOnce(&mut BurnTraining<Tested>)) {
    let everything = Learned {
        encoder: true,
        mask_generator: true,
        decoder: true,
    };
    network.begin(everything);
    network.encode(&[0.5; 48], &[7], &[]).unwrap();
    network.decode(Masks::Uniform).unwrap();
    network.backward_decode(&[1.0; 48]).unwrap();
    told(network);
    network.backward_encode().unwrap();
}

#[test]
fn sums_take_the_place_of_gradients() {
    let (mut alone, mut joined) = (network(), network());
    let all = 0..alone.list.last().unwrap().range().end;
    let [decoder, masks] = ["decoder.", "mask_generator."].map(|part| {
        let named = alone.list.iter().filter(|one| one.name.starts_with(part));
        let places: Vec<Range<usize>> = named.map(Parameter::range).collect();
        places[0].start..places[places.len() - 1].end
    });
    assert!(joined.begin_sum(all.clone()).is_err(), "there are no others");
    pass(&mut alone, |_| {});
    let own = alone.gradients(all.clone()).unwrap();
    let expected: Vec<f32> = own.iter().map(|own| own + 1.0).collect();
    joined.group = Some(Box::new(Ones(Vec::new())));
    // Two steps, of which the first leaves nothing behind.
    for _ in 0..2 {
        pass(&mut joined, |joined| joined.begin_sum(decoder.clone()).unwrap());
        joined.begin_sum(0..decoder.start).unwrap();
        joined.begin_sum(decoder.end..all.end).unwrap();
        joined.end_sums().unwrap();
        assert!(joined.gradients(all.clone()).unwrap() == expected);
    }
    // Where this one has no part it is what the others have.
    assert!(expected[masks].iter().all(|sum| *sum == 1.0));
    assert!(expected[decoder].iter().any(|sum| (sum - 1.0).abs() > 1e-3));
}
