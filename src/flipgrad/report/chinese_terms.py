"""Verdicts, and the names of measures, scores and logged numbers, in Chinese."""

VERDICTS = {
    "aligned": "已对齐",
    "partly aligned": "部分对齐",
    "discriminator too weak": "判别器太弱",
    "discriminator dead": "判别器失效",
    "discriminator won": "判别器获胜",
    "features collapsed": "特征坍缩",
    "diverged": "发散",
    "source forgotten": "源域被遗忘",
    "label shift": "标签分布偏移",
    "negative transfer suspected": "疑似负迁移",
    "nothing to adapt": "无需适应",
    "too few rows to tell": "样本太少，无法判断",
    "likely better than source-only": "很可能优于仅用源域的训练",
}

# name -> (meaning, advice)
EXPLAINED = {
    "diverged": ("损失、权重或特征是 NaN 或无穷大：没有可用的模型。", "降低学习率或强度；混合精度时改用 float32。"),
    "features collapsed": (
        "编码器对几乎每一行都给出相同的特征，或分类器把所有行归为一类：两个域无法区分，只因为什么都无法区分。",
        "降低强度或学习率，并保持回退功能开启。",
    ),
    "discriminator dead": (
        "判别器对每一行的输出都相同，因而没有梯度：没有发生任何适应。",
        "检查判别器的结尾：应输出一个或两个 logit，没有 softmax 或 sigmoid，并且可训练。",
    ),
    "discriminator too weak": (
        "判别器处于随机水平，但不是因为两个域已经重合：同样形状、重新训练的判别器能把它们分开。编码器几乎没有受到推动。",
        "增加判别器的单元数，延长训练，或加快它的学习：它的损失从一开始就约为 0.69。",
    ),
    "discriminator won": (
        "判别器几乎从不出错：编码器没有跟上，两个域仍然分开。",
        "提高强度或延长训练；若无效，给编码器更大的自由度。",
    ),
    "partly aligned": (
        "两个域仍可区分：凭训练自身的判别器、重新训练的判别器，或两者；准确率说明是哪一个（前者的准确率远低于 0.5，"
        "或损失远高于 0.69，说明编码器已经超过了它）。这很常见，效果好的训练也是如此；"
        "这并不说明目标域上的预测是对的。",
        "与仅用源域的训练比较；标注少量目标域样本以确认。",
    ),
    "aligned": (
        "无论原有的还是重新训练的判别器，都无法凭特征区分两个域。对齐不等于准确：类别可能重合到错误的类别上。",
        "标注少量目标域样本，用 flipgrad evaluate 检验。",
    ),
    "source forgotten": (
        "源域准确率明显低于源域训练所能达到的水平：适应的代价是丢失了类别本身。",
        "降低强度，或保留较早的一轮（LabelFreeCheckpoint）。",
    ),
    "label shift": (
        "从预测看，目标域中各类别的比例与源域不同。要么确实如此，而对抗对齐无从得知，会把目标域的行拉进错误的类别；要么模型在目标域上犯了在源域上不犯的错误。",
        "先标注少量目标域样本再信任它；若比例确实不同，让源域的抽样接近目标域。",
    ),
    "negative transfer suspected": (
        "从无需标签就能看到的迹象判断，目标域上的预测并不比仅用源域的训练好。",
        "使用仅用源域的模型，或降低强度；少量有标签的目标域样本可以作出判断。",
    ),
    "nothing to adapt": ("两个域的原始数据无法区分：没有需要消除的偏移。", "普通的源域训练即可。"),
    "likely better than source-only": (
        "就无标签所能看到的而言，目标域上的预测优于仅用源域的训练。这是很可能，而非确定。",
        "用此模型而非仅用源域训练的模型；少量目标域标签即可证实。",
    ),
    "too few rows to tell": (
        "某个域的留出样本太少，无法将两个域相比较。",
        "用更多样本训练：其中十分之一会被留出。",
    ),
}

# With the keys of ``names``.
NAMES = {
    "accuracy": "准确率", "loss": "损失", "classification_loss": "分类损失", "domain_loss": "域损失",
    "domain_accuracy": "域判别准确率", "learning_rate": "学习率", "strength": "强度",
    "merged": "源域样本近邻中目标域样本的比例",
    "back_offs": "回退次数",
    "source_accuracy": "源域准确率", "source_peak": "源域准确率的最高值", "best_source_accuracy": "最高的源域准确率",
    "target_labelled_accuracy": "带标签的目标样本上的准确率", "target_recall": "目标域上各类的召回率",
    "chosen_epoch": "所选的轮次", "diverged": "发散的步数",
    "online_accuracy": "自身判别器的准确率", "online_loss": "自身判别器的损失",
    "online_spread": "自身判别器输出的标准差", "fresh_accuracy": "重新训练的判别器的准确率",
    "probe_accuracy": "线性探针的准确率", "proxy_a_distance": "代理 A 距离",
    "input_accuracy": "原始数据上提升树的准确率",
    "channel_accuracy": "通道均值上探针的准确率", "class_gap": "类间隙", "dead_units": "失效单元的比例",
    "feature_scale": "特征的尺度", "feature_spread": "特征的离散程度", "effective_rank": "有效秩",
    "target_entropy": "目标域预测的熵", "v_measure": "V 度量", "ami": "调整互信息", "bnm": "批核范数（BNM）",
    "information_maximisation": "信息最大化", "entropy": "熵", "corr_c": "类相关性（Corr-C）",
    "snd": "软邻域密度（SND）",
    "rank_me": "RankMe", "importance_weighted_risk": "重要性加权风险", "dev": "DEV", "devn": "DEVN", "ensv": "EnsV",
    "source_shares": "源域各类的比例", "target_shares": "目标域各类预测的比例", "target_priors": "目标域类先验的估计",
    "prior_divergence": "类先验的差异", "chance_divergence": "偶然造成的类先验差异",
    "largest_share": "最常预测的类的比例",
    "never_predicted": "从未预测的类", "label_gradient": "分类梯度", "domain_gradient": "域梯度",
    "gradient_cosine": "两种梯度的余弦", "push": "两种梯度之比", "finite": "有限", "rows": "样本数",
}  # fmt: skip
