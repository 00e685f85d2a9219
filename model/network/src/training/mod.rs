//! Training with burn's gradient tape behind [`TrainingPass`].

mod optimizer;
mod stages;

use std::ops::Range;

use burn::tensor::backend::{AutodiffBackend, BackendTypes};
use burn::tensor::{FloatDType, Tensor};
use factorseg_kernels::{
    Architecture, DeviceGroup, KernelError, Learned, Masks, Moments, Parameter, Snapshot, TrainingPass, TrainingSize,
    Update,
};

use crate::factorized::Factorized;
use crate::failures::caught;
use crate::parameters::{check, dtype_of, fill, flat, pass_dtype};
use optimizer::Optimizer;
use stages::Pass;

/// A tensor without a gradient tape, one row of values.
type Row<B> = Tensor<<B as AutodiffBackend>::InnerBackend, 1>;

/// How a backend's devices sum values up with those of other processes. All begin the same sums in the same order.
pub(crate) trait GroupSum<B: AutodiffBackend>: Send {
    /// Begins to sum rows, which all have as many values.
    fn begin(&mut self, rows: Vec<Row<B>>) -> Result<(), KernelError>;

    /// Waits; the sums of all that has begun, in that order.
    fn end(&mut self) -> Result<Vec<Row<B>>, KernelError>;
}

/// What makes a device one of a group.
pub(crate) type Join<B> = fn(&<B as BackendTypes>::Device, &DeviceGroup) -> Result<Box<dyn GroupSum<B>>, KernelError>;

/// A pass, and the gradients by parameter.
type UnderWay<'a, B> = (&'a mut Pass<B>, &'a mut [Option<Row<B>>]);

/// A network in training on a device of burn's.
///
/// Weights, gradients, moments and average are kept in 32 bits without a tape. A pass computes with a copy of the weights, in
/// its own type and on a tape; the stages are cut apart where the caller computes, so each goes back on its own.
pub struct BurnTraining<B: AutodiffBackend> {
    architecture: Architecture,
    list: Vec<Parameter>,
    size: TrainingSize,
    device: B::Device,
    /// Of passes.
    dtype: FloatDType,
    weights: Vec<Row<B>>,
    /// `None` for a parameter that has taken no part.
    gradients: Vec<Option<Row<B>>>,
    optimizer: Optimizer<B>,
    learned: Learned,
    pass: Option<Pass<B>>,
    waiting: Option<Pass<B>>,
    /// `None` for a backend whose devices do not sum among themselves.
    join: Option<Join<B>>,
    group: Option<Box<dyn GroupSum<B>>>,
    /// The parameters whose gradients the group is summing.
    summed: Vec<usize>,
}

impl<B: AutodiffBackend> BurnTraining<B> {
    /// A network whose parameters are zero, on `device`. With `bf16`, passes compute in bfloat16, but for norms, softmax and
    /// conditioning.
    ///
    /// # Errors
    /// If the architecture is unusable, or the device fails.
    pub fn new(
        architecture: &Architecture,
        size: TrainingSize,
        device: B::Device,
        bf16: bool,
    ) -> Result<Self, KernelError> {
        architecture.validate()?;
        let list = architecture.parameters();
        caught(|| {
            check(&Factorized::<B>::new(architecture, &device), list.iter())?;
            let weights = list
                .iter()
                .map(|parameter| Tensor::zeros([parameter.range().len()], &device));
            Ok(Self {
                architecture: architecture.clone(),
                size,
                dtype: pass_dtype(bf16),
                weights: weights.collect(),
                gradients: vec![None; list.len()],
                optimizer: Optimizer::new(list.len()),
                learned: Learned::default(),
                pass: None,
                waiting: None,
                join: None,
                group: None,
                summed: Vec::new(),
                list,
                device,
            })
        })
    }

    /// With a way to sum among devices.
    #[cfg(feature = "cuda")]
    pub(crate) fn that_joins(self, join: Join<B>) -> Self {
        Self {
            join: Some(join),
            ..self
        }
    }

    /// The weights as a pass computes with them, on a tape of its own where they learn.
    fn network(&self) -> Factorized<B> {
        let mut rows = self.list.iter().zip(&self.weights);
        let values = |name: &str| {
            let row = rows.next().map(|(_, row)| row.clone());
            let row = row.unwrap_or_else(|| unreachable!("as many weights as parameters"));
            Tensor::from_inner(row.cast(dtype_of(name, self.dtype)))
        };
        let network = Factorized::new(&self.architecture, &self.device);
        fill(network, values, |name| self.learned.learns(name))
    }

    /// The pass under way, and the gradients that it adds to. `planes` of its images are `length` numbers.
    fn under_way(&mut self, what: &'static str, planes: usize, length: usize) -> Result<UnderWay<'_, B>, KernelError> {
        let Some(pass) = &mut self.pass else {
            return Err(KernelError::Size("no pass is under way: encode comes first".to_owned()));
        };
        stages::check_length(what, pass.images() * planes * self.size.side.pow(2), length)?;
        Ok((pass, &mut self.gradients))
    }

    /// Cuts the rows of all parameters out of flat values.
    fn rows(&self, values: &[f32]) -> Vec<Row<B>> {
        let cut = |parameter: &Parameter| flat(values[parameter.range()].to_vec(), &self.device);
        self.list.iter().map(cut).collect()
    }
}

/// The values of rows, one after the other.
fn joined<B: AutodiffBackend>(rows: &[Row<B>]) -> Vec<f32> {
    rows.iter().flat_map(|row| values(row.clone())).collect()
}

/// The values of a tensor in 32 bits.
fn values<B: burn::tensor::backend::Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

impl<B: AutodiffBackend> TrainingPass for BurnTraining<B> {
    fn list(&self) -> &[Parameter] {
        &self.list
    }

    fn batch(&self) -> usize {
        self.size.batch
    }

    fn parameters(&self) -> Result<Vec<f32>, KernelError> {
        caught(|| Ok(joined::<B>(&self.weights)))
    }

    fn set_parameters(&mut self, values: &[f32]) -> Result<(), KernelError> {
        self.weights = caught(|| Ok(self.rows(values)))?;
        Ok(())
    }

    fn gradients(&self, range: Range<usize>) -> Result<Vec<f32>, KernelError> {
        let mut all = Vec::with_capacity(range.len());
        let within = |parameter: &Parameter| range.contains(&parameter.range().start);
        let list = self.list.iter().zip(&self.gradients);
        caught(|| {
            for (parameter, gradient) in list.filter(|(parameter, _)| within(parameter)) {
                match gradient {
                    Some(gradient) => all.extend(values(gradient.clone())),
                    None => all.resize(all.len() + parameter.range().len(), 0.0),
                }
            }
            Ok(all)
        })
    }

    fn set_gradients(&mut self, start: usize, values: &[f32]) -> Result<(), KernelError> {
        let range = start..start + values.len();
        let list = self.list.iter().map(Parameter::range).zip(&mut self.gradients);
        caught(|| {
            for (place, gradient) in list.filter(|(place, _)| range.contains(&place.start)) {
                let own = &values[place.start - start..place.end - start];
                *gradient = Some(flat(own.to_vec(), &self.device));
            }
            Ok(())
        })
    }

    fn join(&mut self, group: &DeviceGroup) -> Result<(), KernelError> {
        let Some(join) = self.join else {
            return Err(KernelError::Device("it sums nothing up with other devices".to_owned()));
        };
        self.group = Some(caught(|| join(&self.device, group))?);
        Ok(())
    }

    fn begin_sum(&mut self, range: Range<usize>) -> Result<(), KernelError> {
        let Some(group) = &mut self.group else {
            return Err(KernelError::Device("it has joined no other devices".to_owned()));
        };
        let within = |(_, parameter): &(usize, &Parameter)| range.contains(&parameter.range().start);
        let (gradients, device) = (&mut self.gradients, &self.device);
        let summed = &mut self.summed;
        caught(|| {
            let rows = self.list.iter().enumerate().filter(within).map(|(index, parameter)| {
                summed.push(index);
                let length = parameter.range().len();
                // Others may have a part in it.
                gradients[index]
                    .take()
                    .unwrap_or_else(|| Tensor::zeros([length], device))
            });
            group.begin(rows.collect())
        })
    }

    fn end_sums(&mut self) -> Result<(), KernelError> {
        let Some(group) = &mut self.group else { return Ok(()) };
        let sums = caught(|| group.end())?;
        for (index, sum) in self.summed.drain(..).zip(sums) {
            self.gradients[index] = Some(sum);
        }
        Ok(())
    }

    fn begin(&mut self, learned: Learned) {
        self.gradients.fill(None);
        self.learned = learned;
    }

    fn encode(&mut self, x_t: &[f32], timesteps: &[i32], classes: &[i32]) -> Result<(), KernelError> {
        stages::check_batch(x_t, timesteps, classes, &self.architecture, &self.size)?;
        caught(|| {
            let (input, side) = ((x_t, timesteps, classes), self.size.side);
            let pass = Pass::encode(self.network(), self.learned, input, side, self.dtype, &self.device);
            self.pass = Some(pass);
            Ok(())
        })
    }

    fn mask_logits(&mut self) -> Result<Vec<f32>, KernelError> {
        let (pass, _) = self.under_way("nothing", 0, 0)?;
        caught(|| Ok(pass.mask_logits()))
    }

    fn decode(&mut self, masks: Masks<'_>) -> Result<Vec<f32>, KernelError> {
        let regions = self.architecture.regions;
        let (planes, length) = match masks {
            Masks::Given(masks) => (regions, masks.len()),
            Masks::Uniform => (0, 0),
        };
        let (pass, _) = self.under_way("the masks", planes, length)?;
        caught(|| Ok(pass.decode(masks, regions)))
    }

    fn branches(&mut self) -> Result<Vec<f32>, KernelError> {
        let regions = self.architecture.regions;
        let (pass, _) = self.under_way("nothing", 0, 0)?;
        caught(|| Ok(pass.branches(regions)))
    }

    fn backward_decode(&mut self, gradient: &[f32]) -> Result<Vec<f32>, KernelError> {
        let regions = self.architecture.regions;
        let (pass, sums) = self.under_way("the gradient of the noise", 3, gradient.len())?;
        caught(|| Ok(pass.backward_decode(gradient, regions, sums)))
    }

    fn backward_masks(&mut self, gradient: &[f32]) -> Result<(), KernelError> {
        let regions = self.architecture.regions;
        let (pass, sums) = self.under_way("the gradient of the logits", regions, gradient.len())?;
        caught(|| {
            pass.backward_masks(gradient, sums);
            Ok(())
        })
    }

    fn backward_encode(&mut self) -> Result<(), KernelError> {
        let (pass, sums) = self.under_way("nothing", 0, 0)?;
        caught(|| {
            pass.backward_encode(sums);
            Ok(())
        })
    }

    fn exchange(&mut self) -> Result<(), KernelError> {
        if self.size.waiting == 0 {
            return Err(KernelError::Size("there is no room for a pass that waits".to_owned()));
        }
        std::mem::swap(&mut self.pass, &mut self.waiting);
        Ok(())
    }

    fn update(&mut self, update: &Update<'_>) -> Result<(), KernelError> {
        caught(|| {
            self.optimizer.update(&mut self.weights, &mut self.gradients, update);
            (self.pass, self.waiting) = (None, None);
            Ok(())
        })
    }

    fn snapshot(&self) -> Result<Snapshot, KernelError> {
        caught(|| {
            let raw = joined::<B>(&self.weights);
            Ok(Snapshot {
                average: self.optimizer.average().map_or(raw.clone(), joined::<B>),
                moments: self.optimizer.moments(),
                raw,
            })
        })
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<(), KernelError> {
        caught(|| {
            self.weights = self.rows(&snapshot.raw);
            let row = |values: &[f32]| flat(values.to_vec(), &self.device);
            let moments = |moments: &Moments| (row(&moments.first), row(&moments.second), moments.updates);
            let moments = snapshot.moments.iter().map(|of| of.as_ref().map(moments)).collect();
            self.optimizer.restore(self.rows(&snapshot.average), moments);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
