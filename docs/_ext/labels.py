"""The words on plots in Chinese: a plot's text stays text in its SVG, and gives a Chinese plot by other words.

What is not listed, code above all, stays as it is.
"""

import re

CHINESE = {
    # comparisons, as tests/benchmarks names them
    **{"array to tensor": "数组转张量", "tensor to array": "张量转数组", "copy of memory": "复制内存"},
    **{"another shape": "改变形状", "another shape of a transpose": "改变转置的形状"},
    **{"sum of column and row": "列与行之和", "weighted sum": "加权和", "forward pass": "前向传播"},
    **{"in place": "原地修改", "one pass over the data": "遍历一遍数据", "clearing gradients": "清除梯度"},
    **{"halving the learning rate": "学习率减半", "one epoch": "一轮训练", "cross entropy": "交叉熵"},
    **{"a step with weights and biases apart": "权重与偏置分开的一步", "decaying step": "带衰减的一步"},
    **{"dropout": "dropout", "perceptron of 32 examples": "32 个样本的感知机", "save and load": "保存与读取"},
    **{"matrix product": "矩阵乘积", "perceptron step": "感知机的一步", "convolution": "卷积", "transfer": "传输"},
    # what they are measured by, and along
    **{"processor time": "处理器时间", "time": "时间", "bytes copied": "复制的字节数", "bytes moved": "搬运的字节数"},
    **{"bytes of the array": "数组的字节数", "bytes of the parameters": "参数的字节数"},
    **{"bytes of the tensor": "张量的字节数", "elements of each vector": "每个向量的元素数"},
    **{"elements of the table": "表的元素数", "examples": "样本数", "examples of ten classes": "十个类别的样本数"},
    **{"inputs and hidden units": "输入与隐藏单元数", "layers": "层数", "parameters": "参数个数"},
    **{"pixels of an image's side": "图像边长（像素）", "side of the matrices": "矩阵的边长"},
    **{"units": "单元数", "weights": "权重数"},
    # ways to do the same
    **{"accelerator": "加速器", "to the accelerator": "送往加速器", "from the accelerator": "取自加速器"},
    **{"batches of 10": "每批 10 个", "batches of 100": "每批 100 个", "one batch": "一批", "broadcasting": "广播"},
    **{"clamp with out=": "带 out= 的 clamp", "clone then view": "先 clone 再 view"},
    **{"contiguous then view": "先 contiguous 再 view", "edit param_groups": "修改 param_groups"},
    **{
        "functional": "函数式",
        "log of softmax": "softmax 的对数",
        "nll_loss of log_softmax": "log_softmax 的 nll_loss",
    },
    **{"loop over lists": "遍历列表", "loop over rows": "遍历各行", "loop over tensors": "遍历张量"},
    **{"mask by hand": "手写掩码", "model, file": "模型，文件", "model, memory": "模型，内存"},
    **{"state_dict, file": "state_dict，文件", "state_dict, memory": "state_dict，内存", "new optimizer": "新优化器"},
    **{"one optimizer, two groups": "一个优化器，两组", "two optimizers": "两个优化器"},
    **{"penalty in the loss": "损失中加惩罚项", "scheduler": "调度器", "slices": "切片", "split": "split"},
    **{"subclass": "子类", "to None": "设为 None", "to zero": "置零", "tracked": "追踪"},
    # curves that tests record
    **{"epoch": "轮次", "step": "步", "loss": "损失", "training": "训练", "test": "测试", "whole set": "全体样本"},
    **{"last batch": "最后一批", "training decayed": "训练（带衰减）", "test decayed": "测试（带衰减）"},
}
PARTS = {  # of a line's label, and what stands at a mark
    r"size\^": "规模^",
    r", still bending": "，仍在弯曲",
    r"too few sizes to fit": "规模太少，无法拟合",
    r"faster than cpu from ([\d,]+)": r"从 \1 起快于 cpu",
}


def chinese(label: str) -> str:
    """A label, "clone then view: size^1.05 ± 0.18" for one, in Chinese."""
    if label in CHINESE:
        return CHINESE[label]
    name, colon, rest = label.partition(": ")
    for english, other in PARTS.items():
        name, rest = re.sub(english, other, name), re.sub(english, other, rest)
    return CHINESE.get(name, name) + ("：" + CHINESE.get(rest, rest) if colon else "")


def in_chinese(svg: str) -> str:
    """A plot with its words in Chinese; its title too, which a browser shows under the mouse."""
    svg = re.sub(r"(<text[^>]*>)([^<]*)(?=</text>)", lambda found: found[1] + chinese(found[2].strip()), svg)
    return re.sub(r"(?<=<title>)([^<]*): time by ([^<]*)(?=</title>)", _title, svg)


def _title(found: re.Match) -> str:
    return f"{chinese(found[1])}：时间随{chinese(found[2])}的变化"
