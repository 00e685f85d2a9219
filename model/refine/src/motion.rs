//! The object is what moves on its own.
//!
//! A picture alone says little of where its object ends; what moves together says it exactly. For each frame
//! [`MotionModel`] finds the optical flow to the frame before ([`crate::flow`]), takes the camera's part away
//! ([`crate::camera`]), and weighs what remains against what the frame says by itself: what a network said of it, and what stands
//! apart from its border ([`crate::barrier`]). The measure of motion is the picture's own noise. Where nothing has moved on its own,
//! the network alone decides. Where everything does, as water, the object is what moves with order ([`crate::roughness`]).
//!
//! ```
//! use factorseg_refine::{InputImage, MotionModel, RegionMap};
//!
//! let mut model = MotionModel::default();
//! let input = (56, 32);
//! let network = RegionMap { regions: 2, width: 56, height: 32, probabilities: vec![0.5; 2 * 56 * 32] };
//! let (width, height) = MotionModel::frame_size(input);
//! for frame in 0..2 {
//!     let image = InputImage { width, height, data: vec![0.1 * frame as f32; 3 * width * height] };
//!     let judged = model.refine(&image, &network, &[false, true]);
//!     assert_eq!((judged.width, judged.height), (width / 2, height / 2));
//! }
//! ```

use crate::appearance::{self, Appearance};
use crate::barrier;
use crate::camera::{self, Residual};
use crate::color::{ColorHistogram, ColorModel};
use crate::flow::{Flow, Pyramid, Search};
use crate::guided::Guide;
use crate::map::{InputImage, RegionMap};
use crate::plane::{Plane, quantile};
use crate::roughness::{self, roughness};
use crate::simd::ln;
use crate::standing::Standing;
use crate::vectorised;

/// Sides of the picture that motion is looked for in, in multiples of the network's input. Masks are half as fine.
const SCALE: usize = 4;
/// Probabilities are kept this far from 0 and 1, where odds have no logarithm.
const LEAST: f32 = 1e-4;
/// Weight of the log-odds of motion.
const MOTION: f32 = 2.0;
/// Log-odds of what stands apart from the frame's border, for each deviation, ...
const APART: f32 = 5.0;
/// ... and at most: however far an object stands out, motion may say otherwise.
const APART_LIMIT: f32 = 4.0;
/// Weight of the network's log-odds beside those of what stands apart from the frame's border.
const NETWORK: f32 = 0.25;
/// Weight of what the frame says by itself beside full evidence of motion; without any it is 1.
const BY_ITSELF: f32 = 0.25;
/// The logarithm of a residual relative to its threshold counts at most this.
const LIMIT: f32 = 2.0;
/// Standard deviation, in pixels of the masks, of the blur of residuals.
const SMOOTHING: f32 = 1.5;
/// Added to the residuals' scale, in pixels of the masks.
const NOISE: f32 = 0.03;
/// The share of a picture's residuals below its level of motion: of objects in general, and of very small ones, which took less of the
/// frame before than lies above the first.
const LEVELS: [f64; 2] = [0.97, 0.995];
/// In multiples of the scale: at the first level of motion nothing moves on its own (noise alone has 2.3 times its median, rippling water up to 5
/// there), from the second on the evidence counts in full.
const CONTRAST: (f32, f32) = (3.5, 7.0);
/// In the same multiples: from here on the frame before counts least, ...
const LETS_GO: f32 = 9.0;
/// ... and from here on it does not count what the object looks like. Motion that slows down tells less and less, and what it has
/// shown before would be gone before it tells nothing.
const OUTSHINES: f32 = 14.0;
/// The threshold between still and moving, in geometric means of the scale and the level of motion.
const THRESHOLD: f32 = 2.2;
/// Half the side of the windows, in pixels of the masks, in which it counts how much there is to follow.
const FOLLOWED: usize = 5;
/// Where the squared change of brightness that the level of motion would have made is this, evidence against motion counts half.
const UNSEEN: f32 = 16.0;
/// Half the side of the windows, in twice the pixels of the masks, whose motion also counts where it would not be seen, ...
const AROUND: usize = 2;
/// ... and how much.
const FROM_AROUND: f32 = 0.5;
/// Log-odds by looks and place from which on what stands still is more likely a part of the object that rests, and how steep that is.
const RESTS: (f32, f32) = (1.5, 3.0);
/// The same by looks alone of what has moved in front of a camera that stands.
const MOVED_AND_RESTS: (f32, f32) = (0.5, 4.0);
/// From these squared slopes on there is something to follow: a plain sky has less than 1, and its flow is noise.
const FOLLOWABLE: f32 = 4.0;
/// The share of a picture with something to follow from which its motion counts in full: what moves in front of nothing moves with
/// nothing to compare it to.
const FOLLOWABLE_SHARE: f32 = 0.3;
/// The median roughness of a flow, in pixels of the masks, from which its order begins to tell, and from which it tells all. Flow that
/// follows a camera has 0.02 to 0.2, waves have 0.4, water that mirrors the sky 1.2.
const ROUGH: (f32, f32) = (0.6, 1.2);
/// The threshold between what moves with order and what does not, in medians of the roughness ...
const ORDERLY: f32 = 0.28;
/// ... and how much the logarithm of what is below it counts beside that of residuals.
const ORDER: f32 = 3.0;
/// Weight of the frame before, brought along by the flow: at full evidence of motion; without any; and without any where motion has
/// shown the object in the frames before.
const MEMORY: (f32, f32, f32) = (0.35, 0.9, 1.0);
/// How fast what motion shows becomes sure, as a share of a frame's evidence, and how much of it a frame without motion leaves:
/// half after 138 frames.
const SURE: (f32, f32) = (0.2, 0.995);
/// Evidence of motion from which a frame teaches what the object looks like.
const TEACHES: f32 = 0.5;
/// Half the side of the windows in which log-odds follow colours, both at half their size.
const WINDOW: usize = 4;
/// Another scene begins where pictures differ after flow by more than this, in grey levels, ...
const CUT: f32 = 12.0;
/// ... and by more than this share of the picture's standard deviation.
const CUT_SHARE: f32 = 0.5;

/// Judges the masks of successive frames by motion; keeps the last frame.
#[derive(Clone, Debug, Default)]
pub struct MotionModel {
    /// Judges what the network says of a frame by the frame's own colours, as long as motion has not shown the object. Nothing else is
    /// to have judged it so.
    pub colors: Option<ColorModel>,
    previous: Option<Previous>,
    search: Search,
    unjudged: u64,
}

#[derive(Clone, Debug)]
struct Previous {
    /// Brightness, as fine as the frame.
    picture: Pyramid,
    /// Brightness, as fine as the masks.
    brightness: Plane,
    log_odds: Plane,
    /// What the network said, of this frame or of one before.
    map: RegionMap,
    /// How much the frame's motion told, 0 to 1.
    evidence: f32,
    /// How surely motion has shown the object, 0 to 1.
    sure: f32,
    appearance: Appearance,
    standing: Standing,
}

impl MotionModel {
    /// The size, `(width, height)`, at which [`Self::refine`] wants the frame that the network sees at `input`.
    pub fn frame_size((width, height): (usize, usize)) -> (usize, usize) {
        (SCALE * width, SCALE * height)
    }

    /// What the network sees of a frame of [`Self::frame_size`]: means of its pixels.
    pub fn network_input(frame: &InputImage) -> InputImage {
        const { assert!(SCALE == 4) };
        frame.halved().halved()
    }

    /// Forgets the frame before: the next one begins a scene.
    pub fn reset(&mut self) {
        self.previous = None;
    }

    /// How much the motion of the frame that was told last says of the object: from 0 (nothing, or the scene has just begun)
    /// to 1.
    pub fn evidence(&self) -> f32 {
        self.previous.as_ref().map_or(0.0, |previous| previous.evidence)
    }

    /// How many maps so far came back as they were because a step came to no finite result.
    pub fn unjudged(&self) -> u64 {
        self.unjudged
    }

    /// The regions of a frame at half the frame's size, after the one that was told last. A frame of another size than that, or
    /// with little in common with it, begins a scene.
    ///
    /// `frame` is best of [`Self::frame_size`]; `map` may be smaller. `foreground` says which regions are the object: their
    /// sum is judged, and regions keep their shares of the foreground and of the rest. Where all regions are foreground,
    /// or none is, motion says nothing, and the map comes back as it is; so it does if it cannot be judged
    /// ([`Self::unjudged`]: a frame that is not finite).
    ///
    /// Flow is looked for at the frame's size, and everything else done at half of it. With m the log-odds of the network's
    /// foreground and `b = min(5 e, 4)` those of what stands apart from the frame's border ([`barrier::evidence`] e, at a quarter of
    /// the size), a frame by itself has `n = (1 - v) m + v (b + m / 4)`, with v from 0 to 1 as far as motion has shown an object at
    /// all; a frame's full evidence is enough. With q the squared slopes of the brightness in grey levels a pixel, means of windows,
    /// there is something to follow where q > 4; f goes from 0 to 1 as that goes from none to 30 % of the picture. With r the length
    /// of the flow's difference to the camera's motion, blurred, and where there is something to follow s its median plus 0.03 pixels,
    /// l its 97 % quantile (or its 99.5 % quantile, if that has the greater c and the frame before gave the object less than 3 % of the
    /// picture), c rises from 0 to 1 as log l / s goes from log 3.5 to log 7; with w the flow's roughness and h its median there, d
    /// rises from 0 to f as log h goes from log 0.6 to log 1.2 pixels ([`roughness`]). The evidence is `g = max(f c, d)`, and
    /// `z = (1 - 0.75 g) n' + 2 (1 - d) f c k + 6 d log(0.28 h / w)`, that logarithm within +-2/3.
    ///
    /// k is what residuals tell. What is smooth looks still however it moves: with `j = log(r / (2.2 sqrt(s l)))` within +-2 and
    /// `y = q l^2 / (q l^2 + 16)`, how far motion would have been seen, `k = max(j, 0) + y min(j, 0) + (1 - y) x / 2`, where x is what is around:
    /// the mean of `y j`, divided by that of y plus 0.02, of 10x10 pixels. What looks like the object, where the object was, may be a part of it
    /// that rests: with a the log-odds of that ([`Appearance`]) and t how far it has agreed with motion, a k below 0 counts
    /// `1 - t / (1 + exp(-3 (a - 1.5)))`. In front of a camera that stands what has moved may rest: with a' the log-odds of its
    /// looks alone and m how surely it has moved ([`Standing::has_moved`]), that is multiplied with `1 - m / (1 + exp(-4 (a' - 0.5)))`.
    ///
    /// n' is n, and as far as `g''` falls short of 1, and as far as t says, a. z is blended with that of the frame before, brought along
    /// by the flow, with a weight of that from 0.9 + 0.1 u (`g' = 0`) to 0.35 (`g' = 1`), where u follows g upwards and fades slowly: an
    /// object that stops stays what it was. `g'` and `g''` are g where c rises up to log 9 and log 14: an object that slows down does so, too.
    /// That is kept for the next frame. The object is it along the edges of the colours ([`Guide`]), and as far as v falls short of 1 what
    /// [`Self::colors`] says of the frame alone. Of more than two regions that also says what share each has of the object, or of the rest.
    /// Frames of a video that stands still from its start have the same result to the last bit.
    pub fn refine(&mut self, frame: &InputImage, map: &RegionMap, foreground: &[bool]) -> RegionMap {
        let fits = map.is_whole() && foreground.len() == map.regions && map.width * map.height > 0;
        if !fits || !can_judge(frame, foreground) {
            self.reset();
            return map.clone();
        }
        let judged = self.judge(frame, Some(map), foreground);
        judged.filter(RegionMap::sums_to_one).unwrap_or_else(|| {
            self.unjudged += 1;
            self.reset();
            map.clone()
        })
    }

    /// The regions of a frame that the network has not seen, as [`Self::refine`] finds them: what it said of the frame before is brought
    /// along by the flow. Once motion has shown the object the network says little beside it.
    ///
    /// None where that cannot be, as the frame begins a scene: then the network is to see it, for [`Self::refine`].
    pub fn follow(&mut self, frame: &InputImage, foreground: &[bool]) -> Option<RegionMap> {
        let known = |previous: &Previous| previous.map.regions == foreground.len();
        let large_enough = frame.width.min(frame.height) >= SCALE;
        if !large_enough || !can_judge(frame, foreground) || !self.previous.as_ref().is_some_and(known) {
            self.reset();
            return None;
        }
        let judged = self.judge(frame, None, foreground).filter(RegionMap::sums_to_one);
        if judged.is_none() {
            self.reset();
        }
        judged
    }

    /// The regions, at half the frame's size; without what the network says none where the frame begins a scene.
    fn judge(&mut self, frame: &InputImage, map: Option<&RegionMap>, foreground: &[bool]) -> Option<RegionMap> {
        let small = frame.halved();
        let (width, height) = (small.width, small.height);
        let quarter = small.halved();
        let picture = Pyramid::new(&brightness(frame));
        let brightness = brightness(&small);
        let known = self
            .previous
            .take()
            .filter(|previous| previous.log_odds.size() == (width, height));
        let mut followed = known.and_then(|mut previous| {
            let flow = self.search.flow(&picture, &previous.picture).halved();
            let [seen, before] = flow.warp([&previous.brightness, &previous.log_odds]);
            let differs = brightness.zip(&seen, |now, seen| (now - seen).abs());
            let scene_goes_on = !is_cut(&brightness, &differs);
            scene_goes_on.then(|| {
                let evidence = Evidence::of(&flow, &before, &brightness, previous.standing.is_known());
                let coarse = flow.halved();
                let map = map.is_none().then(|| coarse.warp_map(&previous.map));
                let shift = evidence.residual.shift();
                let look = || (evidence.own_motion(&coarse), differs.halved());
                previous.standing.follow(&coarse, shift, look);
                (evidence, before, previous, map)
            })
        });
        let brought = followed.as_mut().and_then(|(_, _, _, map)| map.take());
        let map = map.cloned().or(brought)?;
        let (told, sure) = followed.as_ref().map_or((0.0, 0.0), |(evidence, _, previous, _)| {
            let risen = previous.sure + SURE.0 * (evidence.weight - previous.sure);
            (evidence.weight, risen.max(SURE.1 * previous.sure))
        });
        let shown = (sure / SURE.0).min(1.0);
        let mut log_odds = object_log_odds(&map, foreground).resized(width, height);
        if shown > 0.0 && !quarter.data.is_empty() {
            let apart = barrier::evidence(&quarter).map(|apart| (APART * apart).min(APART_LIMIT));
            let apart = apart.resized(width, height);
            log_odds = log_odds.zip(&apart, |network, apart| {
                network + shown * (apart + NETWORK * network - network)
            });
        }
        let (mut appearance, mut standing, mut guess) = (Appearance::default(), Standing::default(), None);
        let cells = ColorHistogram::cells(&quarter.data);
        if let Some((evidence, before, previous, _)) = followed {
            (appearance, standing) = (previous.appearance, previous.standing);
            let looks = appearance.looks(&cells, (quarter.width, quarter.height));
            guess = looks
                .as_ref()
                .map(|looks| appearance::log_odds(looks, &before.probabilities().halved()));
            let mut stillness = Plane::filled(width, height, 1.0);
            if let (Some(looks), Some(guess)) = (&looks, &guess) {
                let trust = appearance.trust();
                let guess = guess.resized(width, height);
                let rests = |log_odds: &Plane, (from, slope): (f32, f32)| {
                    log_odds.map(|log_odds| slope * (log_odds - from)).probabilities()
                };
                stillness = rests(&guess, RESTS).map(|rests| 1.0 - trust * rests);
                if let Some(moved) = standing.has_moved() {
                    let rests = rests(looks, MOVED_AND_RESTS).zip(&moved, |looks, moved| looks * moved);
                    let rests = rests.resized(width, height);
                    stillness = stillness.zip(&rests, |stillness, rests| stillness * (1.0 - rests));
                }
                log_odds = log_odds.zip(&guess, |own, guess| {
                    own + trust * (1.0 - evidence.outshines) * (guess - own)
                });
            }
            log_odds = evidence.weigh(&log_odds, &before, &stillness, sure);
        }
        let colors = small.colors();
        let guide = (width.min(height) >= 2).then(|| Guide::halved(&colors, WINDOW));
        let edged = |log_odds: &Plane| match &guide {
            Some(guide) => guide.follow(&colors, log_odds),
            None => log_odds.clone(),
        };
        // Motion shows an object, and does not tell its regions apart.
        let colored = if shown < 1.0 || map.regions > 2 {
            self.by_colors(&quarter, &map, foreground)
        } else {
            None
        };
        let mixed = colored.as_ref().filter(|_| shown < 1.0).map(|colored| {
            let colored = object_log_odds(colored, foreground).resized(width, height);
            colored.zip(&log_odds, |colored, own| colored + shown * (own - colored))
        });
        let object = edged(mixed.as_ref().unwrap_or(&log_odds));
        if told > TEACHES {
            // Looks are learned from what is remembered.
            let own = if mixed.is_some() { &edged(&log_odds) } else { &object };
            appearance.learn(&cells, &own.halved(), guess.as_ref());
        }
        let mut judged = colored.as_ref().unwrap_or(&map).resized(width, height);
        self.previous = Some(Previous {
            picture,
            brightness,
            log_odds,
            map,
            evidence: told,
            sure,
            appearance,
            standing,
        });
        judged.share_out_all(foreground, &object.probabilities().values);
        Some(judged)
    }

    /// The regions of a picture of the network's size by its own colours, where [`Self::colors`] judges.
    fn by_colors(&mut self, picture: &InputImage, map: &RegionMap, foreground: &[bool]) -> Option<RegionMap> {
        let colors = self.colors.as_mut().filter(|_| !picture.data.is_empty())?;
        let mut map = map.resized(picture.width, picture.height);
        let unjudged = colors.unjudged();
        colors.refine(picture, &mut map, foreground);
        self.unjudged += colors.unjudged() - unjudged;
        Some(map)
    }
}

/// Whether a frame is one, and some regions are the object and some are not.
fn can_judge(frame: &InputImage, foreground: &[bool]) -> bool {
    let whole = frame.data.len() == 3 * frame.width * frame.height && frame.width.min(frame.height) > 1;
    whole && foreground.contains(&true) && foreground.contains(&false)
}

/// Log-odds of the foreground.
fn object_log_odds(map: &RegionMap, foreground: &[bool]) -> Plane {
    let mut values = map.sum(foreground);
    to_log_odds(&mut values);
    Plane {
        width: map.width,
        height: map.height,
        values,
    }
}

vectorised! {
    fn to_log_odds(probabilities: &mut [f32]) {
        for value in probabilities {
            let p = value.clamp(LEAST, 1.0 - LEAST);
            *value = ln(p / (1.0 - p));
        }
    }
}

/// Luma of BT.601, 0 to 255.
fn brightness(image: &InputImage) -> Plane {
    let (red, others) = image.data.split_at(image.width * image.height);
    let (green, blue) = others.split_at(red.len());
    let colors = red.iter().zip(green).zip(blue);
    Plane {
        width: image.width,
        height: image.height,
        values: colors
            .map(|((red, green), blue)| 127.5 * (0.299 * red + 0.587 * green + 0.114 * blue + 1.0))
            .collect(),
    }
}

/// Squared lengths of a plane's slopes, by central differences.
fn squared_slopes(plane: &Plane) -> Plane {
    let (width, height) = plane.size();
    let row = |y: usize| &plane.values[y * width..][..width];
    let mut values = Vec::with_capacity(plane.values.len());
    for y in 0..height {
        let (above, below) = (row(y.saturating_sub(1)), row((y + 1).min(height - 1)));
        values.extend(row(y).iter().enumerate().map(|(x, _)| {
            let across = row(y)[(x + 1).min(width - 1)] - row(y)[x.saturating_sub(1)];
            (across.powi(2) + (below[x] - above[x]).powi(2)) / 4.0
        }));
    }
    Plane { width, height, values }
}

/// Whether a picture shows another scene than the one before: `differs` is by how much, brought along by the flow, in grey levels.
fn is_cut(brightness: &Plane, differs: &Plane) -> bool {
    let difference = differs.mean();
    difference > CUT && difference > CUT_SHARE * brightness.deviation()
}

/// What motion says of a frame.
struct Evidence {
    residual: Residual,
    /// Its lengths, blurred, in pixels.
    length: Plane,
    /// Squared slopes of the brightness in grey levels a pixel, means of windows.
    slopes: Plane,
    /// In pixels.
    level: f32,
    /// Between still and moving, in pixels.
    threshold: f32,
    /// How much the residuals tell, 0 to 1.
    moved: f32,
    order: Option<Order>,
    /// How much the frame's motion tells, 0 to 1.
    weight: f32,
    /// How far that lets go of the frame before, 0 to 1.
    lets_go: f32,
    /// How far that outshines what the object looks like, 0 to 1.
    outshines: f32,
}

impl Evidence {
    /// `stood` is whether the camera is known to stand.
    fn of(flow: &Flow, before: &Plane, brightness: &Plane, stood: bool) -> Self {
        let slopes = squared_slopes(brightness).window_means(FOLLOWED);
        let followable: Vec<bool> = slopes.values.iter().map(|slope| *slope > FOLLOWABLE).collect();
        let residual = camera::residual(flow, &followable, stood);
        let length = residual.length.blurred(SMOOTHING);
        let scale = residual.scale + NOISE;
        let pairs = length.values.iter().zip(&followable);
        let mut lengths: Vec<f32> = pairs
            .filter(|(_, followable)| **followable)
            .map(|(length, _)| *length)
            .collect();
        let followed = (lengths.len() as f32 / length.values.len() as f32 / FOLLOWABLE_SHARE).min(1.0);
        let [large, small] = LEVELS.map(|share| quantile(&mut lengths, share));
        let tells = |level: f32, full: f32| rise(level / scale, (CONTRAST.0, full));
        let object = before.values.iter().filter(|log_odds| **log_odds > 0.0).count();
        let was_small = (object as f64) < (1.0 - LEVELS[0]) * before.values.len() as f64;
        let tells_more = tells(small, CONTRAST.1) > tells(large, CONTRAST.1);
        let level = if was_small && tells_more { small } else { large };
        let order = Order::of(flow, &followable, followed);
        let disorder = order.as_ref().map_or(0.0, |order| order.weight);
        let told = |full: f32| disorder.max(followed * tells(level, full));
        Self {
            residual,
            length,
            slopes,
            level,
            threshold: THRESHOLD * (scale * level).sqrt(),
            moved: (1.0 - disorder) * followed * tells(level, CONTRAST.1),
            weight: told(CONTRAST.1),
            lets_go: told(LETS_GO),
            outshines: told(OUTSHINES),
            order,
        }
    }

    /// What things have moved on their own, of the flow at half its size; nothing where there is nothing to follow.
    fn own_motion(&self, flow: &Flow) -> Flow {
        let (own, slopes) = (self.residual.of(flow), self.slopes.halved());
        let followed = |own: &Plane| own.zip(&slopes, |own, slope| if slope > FOLLOWABLE { own } else { 0.0 });
        Flow {
            x: followed(&own.x),
            y: followed(&own.y),
        }
    }

    /// `stillness` is how much it counts, 0 to 1, that a pixel moves as the camera does.
    fn weigh(&self, by_itself: &Plane, previous: &Plane, stillness: &Plane, sure: f32) -> Plane {
        let own = 1.0 - self.weight * (1.0 - BY_ITSELF);
        let still = MEMORY.1 + sure * (MEMORY.2 - MEMORY.1);
        let memory = still + self.lets_go * (MEMORY.0 - still);
        let threshold = self.threshold.max(f32::MIN_POSITIVE);
        let mut judged = by_itself.map(|log_odds| own * log_odds);
        if let Some(order) = &self.order {
            let orderly = order.log_odds.resized(judged.width, judged.height);
            judged = judged.zip(&orderly, |own, orderly| own + MOTION * order.weight * orderly);
        }
        let squared_level = self.level.powi(2);
        let seen = self
            .slopes
            .map(|slope| slope * squared_level / (slope * squared_level + UNSEEN));
        let mut moves = self.length.clone();
        relative(&mut moves.values, 1.0 / threshold);
        let means = |plane: &Plane| plane.halved().window_means(AROUND);
        let around = means(&moves.zip(&seen, |moves, seen| moves * seen));
        let around = around.zip(&means(&seen), |moves, seen| FROM_AROUND * moves / (seen + 0.02));
        let around = around.resized(judged.width, judged.height);
        weigh(
            &mut judged.values,
            &moves.values,
            &seen.values,
            &around.values,
            &stillness.values,
            &previous.values,
            MOTION * self.moved,
            memory,
        );
        judged
    }
}

/// What the order of a flow says where most of it has none.
struct Order {
    /// Log-odds of the object, at half the flow's size.
    log_odds: Plane,
    /// How much they tell, 0 to 1.
    weight: f32,
}

impl Order {
    /// `followable` says, row by row, where there is something to follow, `followed` how much that is to say, 0 to 1.
    fn of(flow: &Flow, followable: &[bool], followed: f32) -> Option<Self> {
        let median = roughness::median(flow, followable);
        let weight = followed * rise(median, ROUGH);
        let log_odds = |rough: f32| (ORDER * (ORDERLY * median / (rough + 1e-3)).ln()).clamp(-LIMIT, LIMIT);
        (weight > 0.0).then(|| Self {
            log_odds: roughness(flow).map(log_odds),
            weight,
        })
    }
}

/// From 0 where a value is at most the first bound to 1 where it is at least the second, linear in its logarithm.
fn rise(value: f32, (none, full): (f32, f32)) -> f32 {
    ((value.max(f32::MIN_POSITIVE).ln() - none.ln()) / (full.ln() - none.ln())).clamp(0.0, 1.0)
}

vectorised! {
    /// The logarithm of how far residuals are above their threshold.
    fn relative(lengths: &mut [f32], per_threshold: f32) {
        for length in lengths {
            *length = ln(((*length + 1e-3) * per_threshold).max(f32::MIN_POSITIVE)).clamp(-LIMIT, LIMIT);
        }
    }
}

vectorised! {
    /// To a frame's own log-odds adds `motion` times what moves (less than nothing counts as far as it would have been `seen`; where it would
    /// not, what moves around counts, too; and less than nothing counts by `stillness`), and blends that with the frame before.
    fn weigh(
        log_odds: &mut [f32],
        moves: &[f32],
        seen: &[f32],
        around: &[f32],
        stillness: &[f32],
        previous: &[f32],
        motion: f32,
        memory: f32,
    ) {
        let told = moves.iter().zip(seen).zip(around).zip(stillness).zip(previous);
        for (value, ((((moves, seen), around), stillness), previous)) in log_odds.iter_mut().zip(told) {
            let moves = moves.max(0.0) + seen * moves.min(0.0) + (1.0 - seen) * around;
            let judged = *value + motion * (moves.max(0.0) + stillness * moves.min(0.0));
            *value = judged + memory * (previous - judged);
        }
    }
}

#[cfg(test)]
mod tests;
