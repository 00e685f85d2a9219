use super::*;
use crate::KernelError;

fn paper_64() -> Architecture {
    Architecture {
        base_channels: 128,
        channel_multipliers: vec![1, 2, 3, 4],
        residual_blocks: 3,
        attention_levels: vec![false, false, true, true],
        attention_heads: 4,
        attention_head_channels: None,
        resblock_updown: false,
        norm_groups: 32,
        regions: 3,
        classes: 1000,
        decoding: Decoding::default(),
    }
}

#[test]
fn the_papers_network_has_as_many_parameters_as_published() {
    let parameters = paper_64().parameters();
    let millions = |decoder: bool| {
        let counted = parameters
            .iter()
            .filter(|parameter| decoder || !parameter.name.starts_with("decoder."));
        let count: usize = counted.map(|parameter| parameter.range().len()).sum();
        format!("{:.2}", count as f64 / 1e6)
    };
    assert_eq!(millions(true), "194.25");
    assert_eq!(millions(false), "121.57");
}

#[test]
fn parameters_follow_each_other() {
    let parameters = paper_64().parameters();
    let mut end = 0;
    for parameter in &parameters {
        assert_eq!(parameter.offset, end, "{}", parameter.name);
        end = parameter.range().end;
    }
    let names: Vec<&str> = parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    assert_eq!(
        names[..6],
        [
            "time_embedding.linear_1.weight",
            "time_embedding.linear_1.bias",
            "time_embedding.linear_2.weight",
            "time_embedding.linear_2.bias",
            "class_embedding.weight",
            "encoder.conv_in.weight"
        ]
    );
    assert_eq!(names.last(), Some(&"decoder.conv_out.bias"));
}

#[test]
fn refused_sizes_have_no_parameters() {
    let refused = [
        Architecture {
            channel_multipliers: vec![],
            ..paper_64()
        },
        Architecture {
            attention_heads: 0,
            ..paper_64()
        },
        Architecture {
            base_channels: 33,
            norm_groups: 1,
            ..paper_64()
        },
        Architecture {
            base_channels: 16,
            channel_multipliers: vec![2, 2, 4, 4],
            ..paper_64()
        },
    ];
    for architecture in refused {
        assert!(matches!(architecture.validate(), Err(KernelError::Size(_))));
        assert!(architecture.parameters().is_empty());
    }
}

/// What an ablation adds to the paper's 72.68 M parameters of a decoder: K channels of the first convolution and the skip of each of
/// its 16 blocks; nothing; two decoders more. The part that segments stays as it is.
#[test]
fn ablations_change_the_decoder_alone() {
    let plain = paper_64().parameters();
    let count = |all: &[Parameter]| all.last().unwrap().range().end;
    let segmenting = plain.iter().position(Parameter::is_decoder).unwrap();
    let decoder = count(&plain) - plain[segmenting].offset;
    let outputs: usize = [4, 3, 2, 1].iter().map(|multiplier| 4 * 128 * multiplier).sum();
    for (decoding, more) in [
        (Decoding::Concatenated, 3 * (9 + 1) * outputs),
        (Decoding::MaskedMiddle, 0),
        (Decoding::Unshared, 2 * decoder),
    ] {
        let all = Architecture { decoding, ..paper_64() }.parameters();
        assert_eq!(all[..segmenting], plain[..segmenting]);
        assert!(all[segmenting..].iter().all(Parameter::is_decoder));
        assert_eq!(count(&all), count(&plain) + more, "{decoding:?}");
    }
}
