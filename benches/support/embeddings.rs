//! Vectors like those of texts: in clusters by topic, with a spectrum that falls, and the same in every run.

/// What texts are about, whoever's they are.
pub(crate) struct World {
    /// How much each dimension varies within a topic.
    spectrum: Vec<f32>,
    topics: Vec<Vec<f32>>,
}

const TOPICS: usize = 400;

impl World {
    pub(crate) fn new(dimensions: usize) -> Self {
        let mut random = Random(1);
        let spectrum: Vec<f32> = (0..dimensions)
            .map(|at| {
                let at = f32::from(u16::try_from(at).unwrap());
                1.0 / (1.0 + at / 24.0).sqrt()
            })
            .collect();
        let topics = (0..TOPICS)
            .map(|_| spectrum.iter().map(|scale| scale * random.normal()).collect())
            .collect();
        Self { spectrum, topics }
    }

    /// What one client's texts are about: some of the topics, each with a turn of its own.
    pub(crate) fn client(&self, number: u64, rows: usize) -> Mixture<'_> {
        let mut random = Random(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 2);
        let centers = (0..(rows / 50).clamp(2, 60))
            .map(|_| {
                let topic = &self.topics[random.below(TOPICS)];
                let turn = self.spectrum.iter().map(|scale| 0.5 * scale * random.normal());
                topic.iter().zip(turn).map(|(at, by)| at + by).collect()
            })
            .collect();
        Mixture {
            world: self,
            centers,
            random,
        }
    }
}

/// The vectors of one client.
pub(crate) struct Mixture<'w> {
    world: &'w World,
    centers: Vec<Vec<f32>>,
    random: Random,
}

impl Mixture<'_> {
    /// Another vector, of length 1.
    pub(crate) fn next(&mut self) -> Vec<f32> {
        // Some topics have more texts than others.
        let center = self.random.below(self.centers.len());
        let center = &self.centers[self.random.below(center + 1)];
        let random = &mut self.random;
        let mut vector: Vec<f32> = center
            .iter()
            .zip(&self.world.spectrum)
            .map(|(at, scale)| at + 0.6 * scale * random.normal())
            .collect();
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        for value in &mut vector {
            *value /= length;
        }
        vector
    }
}

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    /// As good as normal: the sum of four uniform values, of variance 1.
    fn normal(&mut self) -> f32 {
        let bits = self.next();
        let sum: f32 = (0..4)
            .map(|part| f32::from(u16::try_from((bits >> (16 * part)) & 0xFFFF).unwrap()) / 65_536.0)
            .sum();
        (sum - 2.0) * 1.732_050_8
    }
}
